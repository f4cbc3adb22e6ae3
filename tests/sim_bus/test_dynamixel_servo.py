"""The control table of the X series, without a clock."""

from __future__ import annotations

import pytest

from dreamvla_edge.runtime.arms import dynamixel
from dreamvla_edge.sim.dynamixel_servo import MODELS, SPEED_UNIT, DynamixelServo

HARDWARE_ERROR, WATCHDOG = 70, 98


def put(servo: DynamixelServo, address: int, value: int, size: int = 4) -> int:
    """What a host writes; the error number."""
    return servo.write(address, value.to_bytes(size, "little", signed=value < 0))


def number(servo: DynamixelServo, address: int, size: int = 4) -> int:
    """Registers in two's complement."""
    return int.from_bytes(servo.read(address, size), "little", signed=True)


def turned_on(model: int = 1200, mode: int = 3) -> DynamixelServo:
    """Torque on, at 2048."""
    servo = DynamixelServo(1, 2048, 0.0, model)
    assert put(servo, 11, mode, 1) == 0
    assert put(servo, 64, 1, 1) == 0
    return servo


def test_every_model_that_the_runtime_knows_is_there() -> None:
    """With the same unit of current and the same stall current."""
    assert {
        number: (model.current_a, model.stall_a) for number, model in dynamixel.MODELS.items()
    } == {
        number: (model.current_unit_a, model.motor.stall_current_a)
        for number, model in MODELS.items()
    }


@pytest.mark.parametrize("model", MODELS)
def test_every_model_reaches_its_goal_at_its_speed(model: int) -> None:
    """Full speed without a profile, half of it with one."""
    for part in (1.0, 0.5):
        servo = turned_on(model, mode=4)
        speed = servo.model.motor.max_speed * part
        if part < 1:
            put(servo, 112, round(speed / SPEED_UNIT))
        put(servo, 116, 400_000)
        servo.advance(2.0)
        assert servo.motor.speed == pytest.approx(speed, rel=0.02)
        assert number(servo, 128) == pytest.approx(speed / SPEED_UNIT, abs=1)
        put(servo, 116, round(servo.position))
        servo.advance(30.0)
        assert number(servo, 132) == number(servo, 116)
        assert servo.registers[HARDWARE_ERROR] == 0


def test_profile_acceleration() -> None:
    """In units of 214.577 rev/min²."""
    servo = turned_on()
    put(servo, 108, 4)
    put(servo, 116, 4000)
    servo.advance(0.5)
    assert servo.motor.speed == pytest.approx(4 * 214.577 * 4096 / 3600 * 0.5, rel=0.01)


def test_the_homing_offset_is_added() -> None:
    """Present = actual + offset: the other way round than a Feetech servo."""
    servo = DynamixelServo(1, 1000, 0.0)
    put(servo, 20, -150)
    servo.advance(0.1)
    assert number(servo, 132) == 850
    put(servo, 64, 1, 1)
    put(servo, 116, 900)
    servo.advance(5.0)
    assert (number(servo, 132), servo.motor.position) == (900, 1050)


def test_the_eeprom_is_refused_while_torque_is_on() -> None:
    """Error 7; afterwards it is kept through a restart."""
    servo = turned_on()
    before = servo.eeprom_writes
    assert put(servo, 48, 3000) == 7
    assert servo.eeprom_writes == before
    put(servo, 64, 0, 1)
    assert put(servo, 48, 3000) == 0
    assert servo.eeprom_writes == before + 1
    servo.restart()
    assert number(servo, 48) == 3000


@pytest.mark.parametrize(
    ("address", "value", "size"), [(116, 4096, 4), (116, -1, 4), (104, 446, 4), (102, 1471, 2)]
)
def test_goals_beyond_their_limits_are_refused(address: int, value: int, size: int) -> None:
    """Error 6, and the goal stays what it was."""
    servo = turned_on()
    before = number(servo, address, size)
    assert put(servo, address, value, size) == 6
    assert number(servo, address, size) == before


def test_a_turn_more_is_allowed_in_extended_position_mode() -> None:
    """Mode 4 has no limits."""
    servo = turned_on(mode=4)
    assert put(servo, 116, -5000) == 0
    servo.advance(30.0)
    assert number(servo, 132) == -5000


def test_velocity_mode() -> None:
    """Mode 1 turns for ever."""
    servo = turned_on(mode=1)
    put(servo, 104, -100)
    servo.advance(2.0)
    assert number(servo, 128) == -100


def test_a_gripper_in_current_based_position_mode_does_not_overload() -> None:
    """It presses with its goal current for a minute."""
    servo = turned_on(mode=5)
    servo.motor.obstacle = (2100.0, 2300.0)
    assert put(servo, 102, 400, 2) == 0
    put(servo, 116, 2800)
    servo.advance(60.0)
    assert (servo.position, number(servo, 126, 2)) == (2100, 400)
    assert servo.registers[HARDWARE_ERROR] == 0


def test_overload_takes_the_torque_until_a_restart() -> None:
    """Two seconds of full load, then alert bit and no torque."""
    servo = turned_on()
    servo.motor.stuck = True
    put(servo, 116, 3000)
    servo.advance(1.9)
    assert (servo.error, number(servo, 126, 2)) == (0, 1470)
    servo.advance(2.2)
    assert (servo.registers[HARDWARE_ERROR], servo.error, servo.registers[64]) == (32, 0x80, 0)
    assert put(servo, 64, 1, 1) == 1
    servo.restart()
    servo.advance(2.3)
    assert (servo.error, put(servo, 64, 1, 1)) == (0, 0)


def test_heat_and_voltage() -> None:
    """Latched; the factory's `shutdown` takes the torque for heat, not for voltage."""
    servo = turned_on()
    servo.registers[144] = 30
    servo.advance(0.1)
    servo.registers[144] = 50
    servo.advance(0.2)
    assert (servo.registers[HARDWARE_ERROR], servo.registers[64]) == (1, 1)
    servo.registers[146] = 73
    servo.advance(0.3)
    assert (servo.registers[HARDWARE_ERROR], servo.registers[64]) == (5, 0)


def test_the_watchdog_stops_the_servo() -> None:
    """In units of 20 ms; then -1, goals read-only (error 4), until 0 is written."""
    servo = turned_on()
    assert put(servo, WATCHDOG, 128, 1) == 4
    assert put(servo, WATCHDOG, 5, 1) == 0
    put(servo, 116, 3500)
    servo.advance(0.09)
    assert servo.registers[WATCHDOG] == 5
    servo.silent_s = 0.0
    servo.advance(0.18)
    assert servo.registers[WATCHDOG] == 5
    servo.advance(0.21)
    assert servo.registers[WATCHDOG] == 255
    assert servo.motor.speed > 0
    expired, ramp = servo.position, servo.motor.speed**2 / 2 / servo.model.motor.max_acceleration
    servo.advance(0.5)
    stopped = servo.position
    assert stopped == pytest.approx(expired + ramp, abs=20)
    for address, size in ((100, 2), (102, 2), (104, 4), (116, 4)):
        assert put(servo, address, 100, size) == 4
    assert put(servo, WATCHDOG, 5, 1) == 4
    assert put(servo, WATCHDOG, 0, 1) == 0
    servo.advance(4.0)
    assert servo.position == stopped
    put(servo, 116, 2048)
    servo.advance(6.0)
    assert servo.position == 2048


def test_the_watchdog_sleeps_while_torque_is_off() -> None:
    """Nothing moves then."""
    servo = DynamixelServo(1, 2048, 0.0)
    put(servo, WATCHDOG, 1, 1)
    servo.advance(1.0)
    assert servo.registers[WATCHDOG] == 1
