"""Which readings are believed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.runtime.arms import feetech
from dreamvla_edge.runtime.guardian.plausibility import doubt
from guardian_parts.readings import FINE, reading

TURN = np.full(5, math.pi)
PERIOD_S = 0.01
MOST_RAD = 8.0 * PERIOD_S + 0.02


def doubted(new: list[float], old: list[float], after_s: float = PERIOD_S) -> bool:
    """Whether the second of two readings is."""
    return doubt(reading(new, after_s), reading(old), -TURN, TURN) is not None


@given(st.floats(-3, 3), st.floats(-0.6, 0.6), st.floats(0, 0.1))
def test_what_physics_allows_is_believed(at: float, leap: float, after_s: float) -> None:
    """8 rad/s and a little noise; nothing faster."""
    there = at + leap
    allowed = abs(there - at) <= 8.0 * after_s + 0.02 and abs(there) <= math.pi
    if abs(abs(leap) - (8.0 * after_s + 0.02)) > 1e-9:
        assert doubted([0, there, 0, 0, 0], [0, at, 0, 0, 0], after_s) is not allowed


@given(st.integers(200, 3900), st.integers(0, 14), st.integers(0, 14), st.integers(1, 255))
def test_errors_that_the_sum_lets_through(step: int, first: int, second: int, change: int) -> None:
    """Two bytes of a real frame, one more and one less: refused if the position leaps.

    The 8-bit sum is right, so the codec takes the frame.
    """
    data = bytearray(15)
    data[0:2] = step.to_bytes(2, "little")
    data[6], data[7] = 74, 30
    frame = bytearray(b"\xff\xff\x01\x11\x00" + data)
    good = _status(frame)
    if first == second:
        return
    frame[5 + first] = (frame[5 + first] + change) % 256
    frame[5 + second] = (frame[5 + second] - change) % 256
    bad = _status(frame)
    assert bad is not None and good is not None, "the sum has not changed"
    before, after = _position(good), _position(bad)
    leap = (after - before) * math.tau / 4096
    angles = [(before - 2048) * math.tau / 4096, 0, 0, 0, 0]
    new = [angles[0] + leap, 0, 0, 0, 0]
    if abs(leap) > MOST_RAD:
        assert doubted(new, angles)
    elif abs(new[0]) <= math.pi and abs(abs(leap) - MOST_RAD) > 1e-9:
        assert not doubted(new, angles)


def _status(body: bytearray) -> bytes | None:
    """The data of a status frame, as the driver's own scanner takes it."""
    packet = bytes(body) + bytes([~sum(body[2:]) & 0xFF])
    found = feetech.StatusParser(15).feed(packet)
    return found[0].data if found else None


def _position(data: bytes) -> int:
    values = feetech.TABLE.decode_block("present_position", "present_current", data)
    return values["present_position"]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("place", ["joint", "velocity", "gripper"])
def test_what_is_not_finite_is_never_believed(bad: float, place: str) -> None:
    """Not even as the first reading."""
    one = reading([0.0] * 5)
    if place == "joint":
        one = reading([0, bad, 0, 0, 0])
    elif place == "velocity":
        one = replace(one, velocity=np.array([0, 0, bad, 0, 0]))
    else:
        one = replace(one, gripper=bad)
    assert doubt(one, None, -TURN, TURN) is not None


@pytest.mark.parametrize(
    ("servo", "why"),
    [
        (FINE._replace(voltage_v=0.0), "servo 3 at 0.0 V"),
        (FINE._replace(voltage_v=31.0), "servo 3 at 31.0 V"),
        (FINE._replace(temperature_c=200.0), "servo 3 at 200 °C"),
        (FINE._replace(temperature_c=-40.0), "servo 3 at -40 °C"),
    ],
)
def test_what_no_servo_measures(servo: object, why: str) -> None:
    """It names the servo."""
    one = reading([0.0] * 5, servos={2: servo})  # type: ignore[dict-item]
    found = doubt(one, None, -TURN, TURN)
    assert found is not None and found.text == why


def test_a_position_outside_the_turn() -> None:
    """Not believed, not even as the first one; at its ends it is."""
    assert doubt(reading([0, 0, 0, 3.2, 0]), None, -TURN, TURN) is not None
    assert doubt(reading([0, 0, 0, math.pi, 0]), None, -TURN, TURN) is None


def test_the_gripper_may_not_leap_either() -> None:
    """Nor may a reading that says nothing new pass for a leap back in time."""
    old, new = reading([0.0] * 5, gripper=0.0), reading([0.0] * 5, PERIOD_S, gripper=0.9)
    assert doubt(new, old, -TURN, TURN) is not None
    assert doubt(reading([0.0] * 5, -1.0), reading([0.0] * 5), -TURN, TURN) is None
