"""Where a lowered arm loses its torque."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from dreamvla_edge.runtime.arms.arm import ArmReading
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.guardian.guardian import LOWER_S, Guardian
from dreamvla_edge.runtime.guardian.limits import limits_of, outside
from dreamvla_edge.runtime.guardian.message import Command, Order, State, decode_report
from dreamvla_edge.runtime.guardian.server import Received
from dreamvla_edge.runtime.guardian.settings import Settings
from guardian.lock_step import PERIOD_S, Clock, Joints

SO101 = load_description("so101")


class StandingJoints(Joints):
    """At its last goal whenever it is looked at, and standing: as for a guardian held up."""

    def read(self) -> ArmReading:
        """The place, without motion."""
        reading = super().read()
        return replace(reading, velocity=np.zeros_like(reading.velocity))


class Person:
    """In the place of the server: tells to lower an arm that is held."""

    alone = False

    def __init__(self) -> None:
        self.state = State.CONNECT

    def receive(self) -> Received:
        """What comes in before this cycle."""
        orders = (Command(Order.LOWER, reason="a person"),) if self.state is State.HOLD else ()
        return Received(orders, False)

    def send(self, report: bytes) -> None:
        """What the guardian says of this cycle."""
        self.state = State(int(decode_report(report)["state"]))

    def close(self) -> None:
        """Nobody listens any more."""


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-0.4, 0.4), min_size=5, max_size=5))
def test_torque_is_taken_at_rest_alone(rest: list[float]) -> None:
    """Not where the arm happens to stand close by.

    A goal stops up to a·T²/8 before its end (`limits.stop_speed`); as much again for the last step.
    """
    assume(outside(limits_of(SO101), np.array(rest)) == 0)
    joints, lowered_s = lowered(rest)
    assert not joints.torque and lowered_s < LOWER_S
    short = float(limits_of(SO101).acceleration.max()) * PERIOD_S**2 / 4
    np.testing.assert_allclose(joints.place, rest, atol=short, rtol=0)


@pytest.mark.parametrize("rest", [(0.4, 0.2, 0.4, 0.4, 0.4), (0.11, 0.38, 0.37, -0.02, -0.12)])
def test_a_wall_is_no_reason_to_wait(rest: tuple[float, ...]) -> None:
    """Less than 2 mm from the table, where the goal slides on ever more slowly."""
    assert 0 < outside(limits_of(SO101), np.array(rest)) < 0.002
    joints, lowered_s = lowered(rest)
    way_s = np.abs(rest).max() / (0.3 * limits_of(SO101).velocity[0])
    assert not joints.torque and lowered_s < way_s + 1.0
    np.testing.assert_allclose(joints.place, rest, atol=0.05, rtol=0)


def lowered(rest: Sequence[float]) -> tuple[StandingJoints, float]:
    """An arm that was lowered, and how long that took by the guardian's clock [s]."""
    clock, person = Clock(), Person()
    joints = StandingJoints(SO101, clock, random.Random(0))
    chosen = Settings(rest=np.array(rest))
    guardian = Guardian(SO101, limits_of(SO101), lambda: joints, person, chosen, clock)
    begin_s = clock.monotonic()
    while person.state is not State.LIMP:
        clock.cycle += 1
        guardian.cycle(clock.cycle, 0, clock.monotonic())
    return joints, clock.monotonic() - begin_s
