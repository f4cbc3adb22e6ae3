"""The control loop: look, think, move, once per period, on absolute monotonic deadlines."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime import motion
from dreamvla_edge.runtime.arms.arm import Arm, ArmReading
from dreamvla_edge.runtime.arms.kinematics import chain_of
from dreamvla_edge.runtime.cameras import Camera
from dreamvla_edge.runtime.chunk import ActionUse
from dreamvla_edge.runtime.interrupts import held_back
from dreamvla_edge.runtime.specification import Specification

Spans = Mapping[str, tuple[float, float]]


class Chunk(Protocol):
    """What a policy predicts for the present step and the steps after it."""

    @property
    def actions(self) -> NDArray[np.float32]:
        """The network's numbers (P, 7)."""

    @property
    def spans(self) -> Spans:
        """Name of a stage -> (start, end), monotonic [s]."""


class Policy(Protocol):
    """A network that has been given its instruction."""

    def act(
        self,
        primary: NDArray[np.uint8],
        wrist: NDArray[np.uint8],
        state: NDArray[np.float32],
    ) -> Chunk:
        """Predicts from raw RGB frames (height, width, 3) and the state (7,) or (8,)."""


@dataclass(frozen=True)
class Schedule:
    """Deadlines start_s + tick · period_s [s, monotonic], tick = 0, 1, 2, …"""

    start_s: float
    period_s: float

    def deadline(self, tick: int) -> float:
        """When the tick is due."""
        return self.start_s + tick * self.period_s

    def next_tick(self, tick: int, now_s: float) -> int:
        """The first tick after `tick` that is not past: missed ones are skipped, never made up."""
        return max(tick + 1, math.ceil((now_s - self.start_s) / self.period_s))


@dataclass(frozen=True, eq=False)
class Cycle:
    """One turn of the loop.

    tick: its place on the grid of deadlines; skipped: deadlines missed just before it;
    deadline_s: monotonic [s]; late_s: start after the deadline; action (7,): what the chunk asked
    for; goal: what was sent; reading: measured before the policy was asked; spans: every stage,
    the policy's own with the prefix `policy.`, monotonic [s].
    """

    tick: int
    skipped: int
    deadline_s: float
    late_s: float
    action: NDArray[np.float32]
    goal: motion.Goal
    reading: ArmReading
    spans: Spans


def run(
    policy: Policy,
    arm: Arm,
    cameras: tuple[Camera, Camera],
    specification: Specification,
    use: ActionUse,
    cycles: int | None = None,
    rate_hz: float | None = None,
    watch: Callable[[Cycle], None] = lambda cycle: None,
) -> None:
    """Drives the arm for a number of cycles, or until something raises, then holds it.

    cameras: primary and wrist. rate_hz: the data set's rate if None; a host that is slower
    misses deadlines, so the arm then moves slower than in training. watch is called with every
    cycle after its goals were sent, before the next deadline: it must be quick.
    Torque goes on at the start without a motion. However the loop ends, Ctrl-C included, the arm
    holds where it is and torque stays on. Raises what its parts raise.
    """
    chain = chain_of(arm.description)
    motion.require_fit(specification, chain)
    reading = arm.read()
    goal = motion.measured(chain, reading)
    command = motion.gripper_command(specification.action.gripper, reading.gripper)
    try:
        arm.enable()
        rate_hz = specification.action.rate_hz if rate_hz is None else rate_hz
        schedule = Schedule(time.monotonic(), 1 / rate_hz)
        tick, previous, count = 0, -1, 0
        while cycles is None or count < cycles:
            deadline_s = schedule.deadline(tick)
            time.sleep(max(0.0, deadline_s - time.monotonic()))
            late_s = time.monotonic() - deadline_s
            spans: dict[str, tuple[float, float]] = {}
            with _span(spans, "cameras"):
                primary, wrist = (camera.read() for camera in cameras)
            with _span(spans, "arm_read"):
                reading = arm.read()
            state = motion.state_vector(
                specification.state, arm.description, chain, reading, command
            )
            with _span(spans, "policy"):
                chunk = policy.act(primary.image, wrist.image, state)
            action = use.use(chunk.actions)
            with _span(spans, "motion"):
                if specification.action.anchor == "measured":
                    goal = motion.measured(chain, reading)
                goal = motion.advance(specification.action, chain, action, goal)
            with _span(spans, "arm_write"):
                arm.write(goal.joints, goal.gripper)
            command = float(action[6])
            spans |= {f"policy.{name}": span for name, span in chunk.spans.items()}
            skipped = tick - previous - 1
            watch(Cycle(tick, skipped, deadline_s, late_s, action, goal, reading, spans))
            count, previous = count + 1, tick
            tick = schedule.next_tick(tick, time.monotonic())
    finally:
        with held_back():
            arm.hold()


@contextmanager
def _span(spans: dict[str, tuple[float, float]], name: str) -> Iterator[None]:
    """Notes start and end of a stage, monotonic [s]."""
    start = time.monotonic()
    yield
    spans[name] = (start, time.monotonic())
