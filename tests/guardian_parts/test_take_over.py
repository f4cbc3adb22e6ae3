"""An arm is taken over where it is, whichever of its readings is wrong."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from dreamvla_edge.runtime.arms.arm import ArmReading
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.guardian.guardian import Guardian
from dreamvla_edge.runtime.guardian.limits import limits_of
from dreamvla_edge.runtime.guardian.message import State, decode_report
from dreamvla_edge.runtime.guardian.server import Received
from dreamvla_edge.runtime.guardian.settings import Settings
from guardian.lock_step import PERIOD_S, Clock, Joints

SO101 = load_description("so101")
WRONG_RAD = 0.05
"""Less than a joint may move in a cycle, so it could be true."""


class Wrong(Joints):
    """The arm stands; one of its readings is wrong."""

    def __init__(self, number: int, clock: Clock) -> None:
        super().__init__(SO101, clock, random.Random(0))
        self.place = np.full(5, 0.3)
        self._number, self._asked, self.goals = number, 0, list[np.ndarray]()

    def read(self) -> ArmReading:
        """In the third joint, and in the gripper."""
        true = super().read()
        self._asked += 1
        if self._asked != self._number:
            return true
        joints = true.joints + WRONG_RAD * np.eye(5)[2]
        return replace(true, joints=joints, gripper=true.gripper + WRONG_RAD)

    def write(self, joints: np.ndarray, gripper: float) -> None:
        """Kept."""
        super().write(joints, gripper)
        self.goals.append(np.array([*joints, gripper]))


class Nobody:
    """In the place of the server: no orders."""

    alone = False

    def __init__(self) -> None:
        self.state = State.CONNECT

    def receive(self) -> Received:
        """Nothing."""
        return Received()

    def send(self, report: bytes) -> None:
        """The newest."""
        self.state = State(int(decode_report(report)["state"]))

    def close(self) -> None:
        """Nothing to close."""


@pytest.mark.parametrize("number", range(1, 12))
def test_one_wrong_reading_moves_nothing(number: int) -> None:
    """No goal leaves the place where the arm stands, and the arm is held within half a second."""
    clock, clients = Clock(), Nobody()
    arm = Wrong(number, clock)
    guardian = Guardian(SO101, limits_of(SO101), lambda: arm, clients, Settings(), clock)
    for clock.cycle in range(50):
        guardian.cycle(clock.cycle, 0, clock.monotonic())
    assert clients.state is State.HOLD and PERIOD_S * 50 == 0.5
    assert len(arm.goals) > 20
    np.testing.assert_allclose(arm.goals, [[0.3] * 5 + [0.5]] * len(arm.goals), atol=1e-9)
