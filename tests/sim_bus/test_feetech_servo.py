"""The virtual servo: registers and motion, without a clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.sim.feetech_servo import MAX_ACCELERATION, MAX_SPEED, FeetechServo

TORQUE, GOAL, HOMING, PRESENT, MOVING = 40, 42, 31, 56, 66


def word(servo: FeetechServo, address: int) -> int:
    """Two registers as a number."""
    return int.from_bytes(servo.read(address, 2), "little")


def go(servo: FeetechServo, goal: int) -> None:
    """Torque on and a goal."""
    servo.write(TORQUE, b"\x01")
    servo.write(GOAL, goal.to_bytes(2, "little"))


def test_without_torque_nothing_moves() -> None:
    """A goal alone is no motion; torque makes it one."""
    servo = FeetechServo(1, 2048, 0.0)
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
    servo, now, before, speed = FeetechServo(1, start, 0.0), 0.0, float(start), 0.0
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
    servo = FeetechServo(1, 100, 0.0)
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
    servo = FeetechServo(1, 2048, 0.0)
    servo.write(9, (1000).to_bytes(2, "little") + (3000).to_bytes(2, "little"))
    go(servo, 4000)
    servo.advance(10.0)
    assert servo.position == 3000


def test_measured_values_cannot_be_written() -> None:
    """A write that runs from the goal into the present position changes the goal only."""
    servo = FeetechServo(1, 2048, 0.0)
    servo.write(54, b"\x01\x01\xff\xff")
    assert word(servo, PRESENT) == 2048
    assert servo.read(54, 2) == b"\x01\x01"
    servo.write(250, bytes(20))  # beyond the last register: no error, no growth
    assert len(servo.registers) == 256


@pytest.mark.parametrize("start", [0, 1234, 4095])
def test_a_new_servo_wants_to_be_where_it_is(start: int) -> None:
    """Torque on alone is no motion."""
    servo = FeetechServo(7, start, 0.0)
    servo.write(TORQUE, b"\x01")
    servo.advance(1.0)
    assert servo.position == start


def put(servo: FeetechServo, address: int, value: int, size: int = 2) -> None:
    """What a host writes."""
    servo.write(address, value.to_bytes(size, "little"))


def test_speed_and_acceleration_registers() -> None:
    """Speed in units of register 82, acceleration in 100 step/s²."""
    for factor in (1, 50):
        servo = FeetechServo(1, 0, 0.0)
        put(servo, 82, factor, 1)
        put(servo, 46, 500 // factor)
        put(servo, 41, 10, 1)
        go(servo, 4000)
        servo.advance(0.4)
        assert servo.motor.speed == pytest.approx(400, rel=0.01)
        servo.advance(2.0)
        assert servo.motor.speed == 500
        assert word(servo, 58) == 500 // factor
        servo.advance(30.0)
        assert servo.position == 4000


def test_speed_mode() -> None:
    """Mode 1 turns for ever at goal_velocity, whose sign is bit 15; mode 2 does not turn."""
    servo = FeetechServo(1, 2048, 0.0)
    put(servo, 33, 1, 1)
    put(servo, 46, 0x8000 | 300)
    put(servo, TORQUE, 1, 1)
    servo.advance(1.0)
    assert (servo.motor.speed, word(servo, 58)) == (-300, 0x8000 | 300)
    put(servo, 33, 2, 1)
    servo.advance(3.0)
    assert servo.motor.speed == 0


def test_load_current_voltage_and_temperature_are_shown() -> None:
    """An obstacle half way: 500 of 1000 torque, 1.35 A, a sagging supply, rising heat."""
    servo = FeetechServo(1, 2048, 0.0)
    servo.motor.obstacle = (1900.0, 2000.0)
    put(servo, 48, 500)
    go(servo, 1950)
    servo.advance(1.0)
    assert (servo.position, word(servo, 60)) == (2000, 1 << 10 | round(50 / 128 * 1000))
    go(servo, 1000)
    servo.advance(60.0)
    assert word(servo, 60) == 1 << 10 | 500
    assert word(servo, 69) == round(1.35 / 0.0065)
    assert servo.registers[62] == round((12 - 0.3 * 1.35) * 10)
    assert 34 <= servo.registers[63] <= 36
    assert servo.error == 0


def test_overload_leaves_the_protective_torque_until_the_power_is_off() -> None:
    """80 % for more than 2 s, then 20 %: factory settings."""
    servo = FeetechServo(1, 2048, 0.0)
    servo.motor.obstacle = (2100.0, 2200.0)
    go(servo, 3000)
    servo.advance(1.9)
    assert (servo.error, word(servo, 60)) == (0, 1000)
    servo.advance(2.2)
    assert (servo.error, word(servo, 60)) == (0x20, 200)
    go(servo, 2048)
    servo.advance(5.0)
    assert (servo.error, servo.position) == (0x20, 2048)
    servo.power(False)
    servo.advance(6.0)
    servo.power(True)
    servo.advance(7.0)
    assert (servo.error, servo.registers[TORQUE], word(servo, 48)) == (0, 0, 1000)


def test_a_moment_of_load_is_no_overload() -> None:
    """The time begins anew; a lower threshold is met by less."""
    servo = FeetechServo(1, 2048, 0.0)
    for second in range(1, 20):
        servo.motor.obstacle = (2100.0, 2200.0) if second % 2 else None
        go(servo, 3000 if second % 2 else 2048)
        servo.advance(second * 1.5)
    assert servo.error == 0
    put(servo, 36, 25, 1)
    put(servo, 35, 10, 1)
    put(servo, 48, 300)
    servo.motor.obstacle = (2048.0, 2200.0)
    go(servo, 3000)
    servo.advance(31.0)
    assert servo.error == 0x20


def test_over_current() -> None:
    """Above protection_current for over_current_time."""
    servo = FeetechServo(1, 2048, 0.0)
    put(servo, 28, 200)
    put(servo, 38, 50, 1)
    put(servo, 36, 100, 1)
    servo.motor.stuck = True
    go(servo, 3000)
    servo.advance(0.4)
    assert servo.error == 0
    servo.advance(0.7)
    assert (servo.error, word(servo, 60)) == (8, 200)


def test_heat_takes_the_torque_away_until_it_has_cooled() -> None:
    """A value set by hand is what the servo believes; the bits follow it."""
    servo = FeetechServo(1, 2048, 0.0)
    servo.motor.gravity = 0.5
    put(servo, TORQUE, 1, 1)
    servo.registers[63] = 71
    servo.advance(1.0)
    assert servo.error == 4
    servo.advance(2.0)
    assert servo.registers[63] == 71
    assert servo.position < 2000
    servo.registers[63] = 60
    servo.advance(12.0)
    assert (servo.error, servo.position) == (0, 2048)


def test_voltage_outside_its_limits() -> None:
    """Register 62 against 14 and 15."""
    servo = FeetechServo(1, 2048, 0.0)
    for volts, error in ((39, 1), (40, 0), (140, 0), (141, 1)):
        servo.registers[62] = volts
        servo.advance(servo._now_s + 0.1)
        assert servo.error == error
    servo.power(False)
    servo.power(True)
    assert servo.registers[62] == 120


def test_the_eeprom_is_kept_only_if_it_was_unlocked() -> None:
    """And every write that touches it counts."""
    servo = FeetechServo(1, 2048, 0.0)
    go(servo, 2000)
    put(servo, 55, 0, 1)
    assert servo.eeprom_writes == 0
    put(servo, 9, 100)
    put(servo, 55, 1, 1)
    put(servo, 11, 3000)
    put(servo, 2, 99, 1)  # measured: no write
    assert (word(servo, 9), word(servo, 11), servo.eeprom_writes) == (100, 3000, 2)
    servo.power(False)
    servo.power(True)
    assert (word(servo, 9), word(servo, 11), word(servo, TORQUE)) == (100, 4095, 0)
    servo.write(39, b"\x01\x01")  # runs from the EEPROM into torque_enable
    assert (servo.eeprom_writes, servo.registers[TORQUE]) == (3, 1)


@pytest.mark.parametrize("start", [1, 500, 2048, 3000, 4095])
def test_128_makes_here_the_middle(start: int) -> None:
    """By the homing offset, for good; torque stays as it was."""
    servo = FeetechServo(1, start, 0.0)
    put(servo, TORQUE, 128, 1)
    assert (servo.position, word(servo, PRESENT), servo.registers[TORQUE]) == (2048, 2048, 0)
    assert servo.eeprom_writes == 1
    servo.power(False)
    servo.power(True)
    assert servo.position == 2048
