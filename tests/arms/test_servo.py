"""The virtual servo: registers and motion, without a clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.sim.servo import MAX_ACCELERATION, MAX_SPEED, Servo

TORQUE, GOAL, HOMING, PRESENT, MOVING = 40, 42, 31, 56, 66


def word(servo: Servo, address: int) -> int:
    """Two registers as a number."""
    return int.from_bytes(servo.read(address, 2), "little")


def go(servo: Servo, goal: int) -> None:
    """Torque on and a goal."""
    servo.write(TORQUE, b"\x01")
    servo.write(GOAL, goal.to_bytes(2, "little"))


def test_without_torque_nothing_moves() -> None:
    """A goal alone is no motion; torque makes it one."""
    servo = Servo(1, 2048, 0.0)
    servo.write(GOAL, (3000).to_bytes(2, "little"))
    servo.advance(5.0)
    assert (servo.position, word(servo, PRESENT)) == (2048, 2048)
    servo.write(TORQUE, b"\x01")
    servo.advance(10.0)
    assert (servo.position, word(servo, PRESENT)) == (3000, 3000)


@given(
    st.integers(0, 4095),
    st.integers(0, 4095),
    st.lists(st.floats(1e-4, 0.05), min_size=5, max_size=40),
)
def test_speed_and_acceleration_are_finite(start: int, goal: int, waits: list[float]) -> None:
    """However often one looks: no jump, no sudden speed, and the servo ends at its goal."""
    servo, now, before, speed = Servo(1, start, 0.0), 0.0, float(start), 0.0
    go(servo, goal)
    for wait in waits:
        now += wait
        servo.advance(now)
        mean = (servo.position - before) / wait
        assert abs(mean) <= MAX_SPEED * (1 + 1e-9)
        if now < 0.05:  # still gaining speed
            assert abs(servo.position - start) <= MAX_ACCELERATION * now * (now + 0.001)
        before, speed = servo.position, mean
    servo.advance(now + 10)
    assert servo.position == goal
    assert servo.registers[MOVING] == 0
    assert abs(speed) <= MAX_SPEED * (1 + 1e-9)


def test_the_present_position_carries_its_sign_and_offset() -> None:
    """Present = actual - offset, both in sign and magnitude."""
    servo = Servo(1, 100, 0.0)
    servo.write(HOMING, (150).to_bytes(2, "little"))
    servo.advance(1.0)
    assert (servo.position, word(servo, PRESENT)) == (-50, 0x8000 | 50)
    servo.write(HOMING, (150 | 1 << 11).to_bytes(2, "little"))
    servo.advance(2.0)
    assert word(servo, PRESENT) == 250
    go(servo, 300)  # a goal is meant in present positions
    servo.advance(12.0)
    assert servo.position == 300


def test_goals_stay_within_the_servos_own_limits() -> None:
    """Registers 9 and 11."""
    servo = Servo(1, 2048, 0.0)
    servo.write(9, (1000).to_bytes(2, "little") + (3000).to_bytes(2, "little"))
    go(servo, 4000)
    servo.advance(10.0)
    assert servo.position == 3000


def test_measured_values_cannot_be_written() -> None:
    """A write that runs from the goal into the present position changes the goal only."""
    servo = Servo(1, 2048, 0.0)
    servo.write(54, b"\x01\x01\xff\xff")
    assert word(servo, PRESENT) == 2048
    assert servo.read(54, 2) == b"\x01\x01"
    servo.write(250, bytes(20))  # beyond the last register: no error, no growth
    assert len(servo.registers) == 256


@pytest.mark.parametrize("start", [0, 1234, 4095])
def test_a_new_servo_wants_to_be_where_it_is(start: int) -> None:
    """Torque on alone is no motion."""
    servo = Servo(7, start, 0.0)
    servo.write(TORQUE, b"\x01")
    servo.advance(1.0)
    assert servo.position == start
