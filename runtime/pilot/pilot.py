"""Drives an arm with a policy: one decision per step of the time base."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime import motion
from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.arms.kinematics import chain_of
from dreamvla_edge.runtime.cameras.camera_pair import CameraPair, Sight
from dreamvla_edge.runtime.chunk import action_use, executed
from dreamvla_edge.runtime.guardian.message import State
from dreamvla_edge.runtime.guardian.report import reading_of
from dreamvla_edge.runtime.policy import Chunk, Policy
from dreamvla_edge.runtime.profiler.stage_ring import StageRing
from dreamvla_edge.runtime.recording.recorder import Recorder
from dreamvla_edge.runtime.recording.step import Observation, Step

from .pace import Pace
from .time_base import TimeBase
from .watch import Watch
from .waypoints import Route, route

_DRIVING = (State.HOLD, State.RAMP, State.TRACK)
_NEXT_FRAME_S, _PAUSE_S = 0.002, 0.05


@dataclass(frozen=True, eq=False)
class Decision:
    """One step: what was seen and what became of it.

    sights: those of `step.before`, then the one that was decided upon; sequence: of the command
    that was sent.
    """

    sights: tuple[Sight, ...]
    step: Step
    sequence: int


class Pilot:
    """A policy at the arm.

    watch: connected to the guardian; base: see `time_base`; recorder: of what is seen and
    decided, None for no recording; seed: of the sampler's noise; ring: for those who want to see
    where the time goes. Raises ArmError if the bundle's actions or states name something that the
    arm does not have.
    """

    def __init__(
        self,
        policy: Policy,
        description: ArmDescription,
        cameras: CameraPair,
        watch: Watch,
        base: TimeBase,
        recorder: Recorder | None = None,
        seed: int | None = None,
        ring: StageRing | None = None,
    ) -> None:
        self._ring = ring
        self._policy, self._description = policy, description
        self._cameras, self._watch = cameras, watch
        self._recorder, self._random = recorder, np.random.default_rng(seed)
        manifest = policy.bundle.manifest
        self._specification = manifest.specification
        self._chain = chain_of(description)
        motion.require_fit(self._specification, self._chain)
        self._use = action_use(self._specification.action)
        self._instruction = ""
        self._command: float | None = None
        self._pace = Pace(base, manifest.network.window)
        self._observed_ns = 0
        self._pausing = False

    @property
    def factor(self) -> float:
        """Of the speed: 1 as in training, below it slower."""
        return self._pace.factor

    @property
    def next_s(self) -> float:
        """When the next step is due, monotonic [s]."""
        return self._pace.next_s

    @property
    def instruction(self) -> str:
        """What the arm is told."""
        return self._instruction

    def instruct(self, instruction: str) -> None:
        """Begins anew with an instruction; everything seen before is forgotten.

        Raises ObservationError if the instruction is empty or too long.
        """
        self._policy.reset(instruction)
        self._use.reset()
        if self._recorder is not None:
            self._recorder.event("instruction", instruction)
        self._instruction, self._command = instruction, None
        self._observed_ns = time.monotonic_ns()  # older pictures show what was before
        self._pace.restart(time.monotonic())

    def step(self) -> Decision | None:
        """Waits for the next step of the time base and decides; None when there is none to do.

        That is while the guardian is stopped, in fault or limp, and while the cameras cannot be
        trusted: afterwards the policy begins anew, as after a pause in training.
        """
        state = State(int(self._watch.report["state"]))
        if state not in _DRIVING or self._watch.blind:
            self._pausing = True
            time.sleep(_PAUSE_S)
            return None
        if self._pausing:
            self._pausing = False
            self.instruct(self._instruction)
        time.sleep(max(0.0, self._pace.next_s - time.monotonic()))
        now_s = time.monotonic()
        sights = self._cameras.sights(self._pace.times_s(now_s))
        if not sights or _moment_ns(sights[-1]) <= self._observed_ns:
            time.sleep(_NEXT_FRAME_S)
            return None
        first = not self._pace.begun
        self._pace.taken(now_s)
        decision = self._decide(sights, first)
        if self._pace.took(time.monotonic() - now_s):
            self._pausing = True
        return decision

    def _observe(self, sight: Sight) -> Observation:
        """Shows the policy a step that it was too busy to decide upon."""
        state = self._state_of(self._watch.report_at(_moment_ns(sight)))
        self._policy.observe(sight.primary.image, sight.wrist.image, state)
        self._record_frames(sight)
        return Observation(sight.primary.stamp_s, sight.wrist.stamp_s, state)

    def _record_frames(self, sight: Sight) -> None:
        if self._recorder is not None:
            self._recorder.frame("primary", sight.primary.image, sight.primary.stamp_s)
            self._recorder.frame("wrist", sight.wrist.image, sight.wrist.stamp_s)

    def _decide(self, sights: Sequence[Sight], first: bool) -> Decision | None:
        *earlier, sight = sights
        before = tuple(map(self._observe, earlier))
        begin_s = time.monotonic()
        self._observed_ns = observed_ns = _moment_ns(sight)
        report = self._watch.report_at(observed_ns)  # now: after the policy it may be forgotten
        state = self._state_of(report)
        noise = self._noise()
        captured_s = time.monotonic()
        images = sight.primary.image, sight.wrist.image
        chunk = self._policy.act(*images, state, noise, prepare=False)
        thought_s = time.monotonic()
        way = self._route(chunk, report, observed_ns)
        routed_s = time.monotonic()
        sequence = self._watch.drive(observed_ns, way.waypoints)
        self._policy.prepare()  # not before: beside it everything takes longer
        if sequence is None:
            self._pausing = True
            return None
        step = Step(
            observed_s=observed_ns / 1e9,
            primary_s=sight.primary.stamp_s,
            wrist_s=sight.wrist.stamp_s,
            instruction=self._instruction,
            first=first,
            state=state,
            chunk=chunk.actions,
            action=self._action,
            times_ns=np.array([waypoint.time_ns for waypoint in way.waypoints], np.int64),
            joints=np.array([waypoint.joints for waypoint in way.waypoints]),
            gripper=np.array([waypoint.gripper for waypoint in way.waypoints]),
            spans={
                "policy": (begin_s, thought_s),
                "capture": (observed_ns / 1e9, captured_s),
                **chunk.spans,
                "kinematics": (thought_s, routed_s),
            },
            noise=noise,
            position_error_m=way.position_error_m,
            orientation_error_rad=way.orientation_error_rad,
            speed=self._pace.factor,
            before=before,
        )
        self._record_frames(sight)
        if self._recorder is not None:
            self._recorder.step(step)
        if self._ring is not None:
            self._ring.note(sequence, step.spans)
        return Decision(tuple(sights), step, sequence)

    def _noise(self) -> NDArray[np.float32] | None:
        """Drawn here, not in the policy: a recording keeps it, so that a replay can be exact."""
        if self._policy.sampler is None:
            return None
        return self._policy.noise(self._random)

    def _route(self, chunk: Chunk, report: Any, observed_ns: int) -> Route:
        """Waypoints from where the arm was, or was sent, when it was observed.

        A target is what the guardian sent, not what was asked: it stays near the arm.
        """
        action = self._specification.action
        self._action = self._use.use(chunk.actions)
        self._command = float(self._action[6])
        later = chunk.actions[1 : self._pace.ahead]
        actions = [self._action, *(executed(one, action) for one in later)]
        joints = report["measured" if action.anchor == "measured" else "sent"]
        count = len(self._description.joints)
        return route(
            action,
            self._chain,
            actions,
            joints[:count].copy(),
            float(report["gripper"][0]),
            self._pace.origin_ns(observed_ns, time.monotonic_ns()),
            self._pace.period_s,
        )

    def _state_of(self, report: Any) -> NDArray[np.float32]:
        reading = reading_of(report)
        if self._command is None:
            command = self._specification.action.gripper
            self._command = motion.gripper_command(command, reading.gripper)
        return motion.state_vector(
            self._specification.state, self._description, self._chain, reading, self._command
        )


def _moment_ns(sight: Sight) -> int:
    """When the older of both frames was captured, monotonic [ns]."""
    return round(min(sight.primary.stamp_s, sight.wrist.stamp_s) * 1e9)
