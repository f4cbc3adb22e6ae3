"""A person who shows a task, with a leader arm or by hand, as steps of a recording."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.arms.arm import Arm, ArmReading, SilentServos
from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.cameras.camera_pair import Sight
from dreamvla_edge.runtime.errors import ArmError
from dreamvla_edge.runtime.guardian.message import Waypoint
from dreamvla_edge.runtime.specification import (
    UNUSED,
    ActionSpecification,
    CameraSpecification,
    Dimension,
    GripperCommand,
    Specification,
    StateSpecification,
)

from .recorder import Recorder
from .step import Float32, Step

_ARM_VALUES = 6
_QUESTIONS = 5
"""Asked so often in a row without an answer, a leader is gone."""
_HOLD_PERIODS = 3
"""The last waypoint holds for so long, so that a late one after it does not stop the arm."""


class Cameras(Protocol):
    """As `CameraPair`."""

    def newest(self) -> Sight | None:
        """The newest pair of frames."""


class Follower(Protocol):
    """The arm that does the task: what it measures, and waypoints for it."""

    def reading(self) -> ArmReading:
        """The newest measurement."""

    def drive(self, observed_ns: int, waypoints: tuple[Waypoint, ...]) -> bool:
        """Sends waypoints; whether they were sent."""


def joint_specification(
    description: ArmDescription,
    cameras: tuple[CameraSpecification, CameraSpecification],
    rate_hz: float,
) -> Specification:
    """Numbers of a demonstration: joint angles [rad] as they are, gripper +1 open and -1 closed.

    Raises ArmError for an arm with more joints than an action has values.
    """
    names = [joint.name for joint in description.joints]
    if len(names) > _ARM_VALUES:
        raise ArmError(
            f"{description.name} has {len(names)} joints",
            f"at most {_ARM_VALUES}, as many as an action has values",
            "record with `dreamvla run --record`, where the bundle says what is recorded",
        )
    unused = [UNUSED] * (_ARM_VALUES - len(names))
    dimensions = tuple(Dimension(name=name, unit="rad") for name in [*names, *unused])
    return Specification(
        name=f"{description.name}-joints",
        action=ActionSpecification(
            kind="joints",
            dimensions=dimensions,
            gripper=GripperCommand(upper_means="open", threshold=0.0),
            rate_hz=rate_hz,
        ),
        state=StateSpecification(dimensions=dimensions, gripper="command"),
        cameras=cameras,
    )


class Teacher:
    """Records what a person shows, one step per period.

    leader: an arm of the same kind without torque, whose joints the follower takes; None if the
    follower itself is led by hand: then the action of a step is where it was a step later.
    """

    def __init__(
        self,
        task: str,
        rate_hz: float,
        cameras: Cameras,
        follower: Follower,
        leader: Arm | None,
        recorder: Recorder,
    ) -> None:
        self._task, self._period_s = task, 1 / rate_hz
        self._cameras, self._follower, self._leader = cameras, follower, leader
        self._recorder = recorder
        self._pending: Step | None = None
        self._number, self._start_s = 0, time.monotonic()

    def step(self) -> None:
        """Waits until the next step is due and records it. Raises what its parts raise."""
        due_s = self._start_s + self._number * self._period_s
        time.sleep(max(0.0, due_s - time.monotonic()))
        self._number = max(
            self._number + 1, int((time.monotonic() - self._start_s) / self._period_s)
        )
        sight = self._cameras.newest()
        if sight is None:
            return
        begin_s = time.monotonic()
        reading = self._follower.reading()
        state = _numbers(reading.joints, reading.gripper)
        first = self._pending is None
        shown = Step(
            observed_s=reading.stamp_s,
            primary_s=sight.primary.stamp_s,
            wrist_s=sight.wrist.stamp_s,
            instruction=self._task,
            first=first,
            state=state,
            chunk=np.empty((0, 7), np.float32),
            action=state,
            times_ns=np.empty(0, np.int64),
            joints=np.empty((0, len(reading.joints))),
            gripper=np.empty(0),
            spans={},
        )
        self._recorder.frame("primary", sight.primary.image, sight.primary.stamp_s)
        self._recorder.frame("wrist", sight.wrist.image, sight.wrist.stamp_s)
        if self._leader is None:
            if self._pending is not None:
                self._recorder.step(
                    _led(self._pending, reading.joints, reading.gripper, [reading.stamp_s])
                )
        else:
            lead = _read(self._leader)
            now_s = time.monotonic()
            times_s = [now_s + self._period_s, now_s + _HOLD_PERIODS * self._period_s]
            shown = _led(shown, lead.joints, lead.gripper, times_s)
            self._follower.drive(round(now_s * 1e9), _waypoints(shown))
            spans = {"policy": (begin_s, time.monotonic())}
            self._recorder.step(replace(shown, spans=spans))
        self._pending = shown


def _read(leader: Arm) -> ArmReading:
    """Asks again a few times: one lost answer is no reason to end a demonstration."""
    for _ in range(_QUESTIONS - 1):
        with contextlib.suppress(SilentServos):
            return leader.read()
    return leader.read()


def _numbers(joints: NDArray[np.float64], gripper: float) -> Float32:
    """Seven numbers of a joint specification: angles [rad], zeros, gripper ±1."""
    values = np.zeros(_ARM_VALUES + 1, np.float32)
    values[: len(joints)] = joints
    values[_ARM_VALUES] = 1.0 if gripper >= 0.5 else -1.0
    return values


def _led(step: Step, joints: NDArray[np.float64], gripper: float, times_s: list[float]) -> Step:
    """The step with the action of going to these joints, to be there at these times."""
    return replace(
        step,
        action=_numbers(joints, gripper),
        times_ns=np.array([round(time_s * 1e9) for time_s in times_s], np.int64),
        joints=np.tile(joints, (len(times_s), 1)),
        gripper=np.full(len(times_s), gripper),
    )


def _waypoints(step: Step) -> tuple[Waypoint, ...]:
    return tuple(
        Waypoint(int(time_ns), joints, float(gripper))
        for time_ns, joints, gripper in zip(step.times_ns, step.joints, step.gripper, strict=True)
    )
