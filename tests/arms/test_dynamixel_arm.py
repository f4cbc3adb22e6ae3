"""What the Dynamixel driver does beyond what every arm does: watchdog, alert, load, grip."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing

import msgspec
import pytest

from dreamvla_edge.runtime.arms import connect
from dreamvla_edge.runtime.arms.arm import SilentServos
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.arms.dynamixel_arm import DynamixelArm
from dreamvla_edge.runtime.errors import ArmError
from dreamvla_edge.sim.virtual_arm import virtual_arm
from dreamvla_edge.sim.virtual_bus import VirtualBus

KOCH = load_description("koch")
WATCHDOG, TORQUE, ERROR, DRIVE_MODE = 98, 64, 70, 10
GOAL_PWM, GOAL_CURRENT, CURRENT, VELOCITY = 100, 102, 126, 128
EXPIRED = 255


@pytest.fixture
def virtual() -> Iterator[VirtualBus]:
    """A virtual Koch arm."""
    with virtual_arm(KOCH) as bus:
        yield bus


@pytest.fixture
def arm(virtual: VirtualBus) -> Iterator[DynamixelArm]:
    """Its driver."""
    with closing(connect(KOCH, virtual.port, latency_s=5.0)) as arm:
        assert isinstance(arm, DynamixelArm)
        yield arm


def watchdogs(virtual: VirtualBus) -> list[int]:
    """The register of every servo."""
    return [virtual.registers(servo)[WATCHDOG] for servo in KOCH.servos]


def test_a_host_that_stalls_stops_the_arm(virtual: VirtualBus, arm: DynamixelArm) -> None:
    """100 ms after the last packet, far from the goal, torque on; the next reading says so."""
    arm.enable()
    assert watchdogs(virtual) == [5] * 6
    joints = arm.read().joints
    joints[0] += 1.5
    arm.write(joints, 0.5)
    time.sleep(0.8)
    assert watchdogs(virtual) == [EXPIRED] * 6
    stopped = arm.read()
    assert abs(stopped.joints[0] - joints[0]) > 0.3
    assert stopped.velocity[0] == 0
    assert [s.faults for s in stopped.servos] == [("bus watchdog",)] * 6
    assert [virtual.registers(s)[TORQUE] for s in KOCH.servos] == [1] * 6


def test_an_expired_watchdog_stays_a_fault_until_the_arm_is_enabled(
    virtual: VirtualBus, arm: DynamixelArm
) -> None:
    """Goals go unheard meanwhile, and enabling causes no motion."""
    arm.enable()
    arm.read()
    time.sleep(0.3)
    there = arm.read().joints
    arm.write(there + 0.3, 0.5)
    for _ in range(3):
        assert arm.read().servos[0].faults == ("bus watchdog",)
    assert arm.read().joints.tolist() == there.tolist()
    arm.enable()
    assert watchdogs(virtual) == [5] * 6
    reading = arm.read()
    assert [s.faults for s in reading.servos] == [()] * 6
    assert reading.joints.tolist() == there.tolist()


def test_one_servo_whose_watchdog_expired_is_named(virtual: VirtualBus, arm: DynamixelArm) -> None:
    """A broken wire to it is enough; found after a pause only, since it answers well otherwise."""
    arm.enable()
    virtual.registers(4)[WATCHDOG] = EXPIRED
    arm.read()
    time.sleep(0.09)
    faults = [s.faults for s in arm.read().servos]
    assert faults == [(), (), (), ("bus watchdog",), (), ()]


def test_a_new_program_learns_of_the_old_ones_watchdogs(virtual: VirtualBus) -> None:
    """Closing leaves them running; whoever opens the arm next sees what came of it."""
    with closing(connect(KOCH, virtual.port, latency_s=5.0)) as arm:
        arm.enable()
    time.sleep(0.3)
    with closing(connect(KOCH, virtual.port, latency_s=5.0)) as arm:
        assert arm.read().servos[3].faults == ("bus watchdog",)


def test_releasing_switches_the_watchdogs_off(virtual: VirtualBus, arm: DynamixelArm) -> None:
    """An arm without torque has nothing to stop."""
    arm.enable()
    arm.release()
    assert watchdogs(virtual) == [0] * 6
    time.sleep(0.3)
    assert [s.faults for s in arm.read().servos] == [()] * 6


def test_a_servo_that_has_shut_down_does_not_take_its_torque(
    virtual: VirtualBus, arm: DynamixelArm
) -> None:
    """It answers, so it is not silent: the error says that it refuses."""
    virtual.registers(2)[ERROR] = 0x20
    with pytest.raises(ArmError, match="servo 2 on .* does not take torque_enable") as caught:
        arm.enable()
    assert not isinstance(caught.value, SilentServos)
    assert "power off and on" in caught.value.cure


def test_load_and_current_of_models_that_measure_one_of_them(
    virtual: VirtualBus, arm: DynamixelArm
) -> None:
    """An XL430 says 25 % of its torque, an XL330 0.735 A of 1.47 A; backwards is negative load."""
    virtual.registers(1)[CURRENT : CURRENT + 2] = (250).to_bytes(2, "little")
    virtual.registers(3)[CURRENT : CURRENT + 2] = (-735).to_bytes(2, "little", signed=True)
    servos = arm.read().servos
    assert (servos[0].load, servos[0].current_a) == pytest.approx((0.25, 0.35))
    assert (servos[2].load, servos[2].current_a) == pytest.approx((-0.5, 0.735))


def test_velocity_counts_in_units_of_0_229_turns_a_minute(
    virtual: VirtualBus, arm: DynamixelArm
) -> None:
    """100 units up and down."""
    for servo, units in ((1, 100), (2, -100)):
        virtual.registers(servo)[VELOCITY : VELOCITY + 4] = units.to_bytes(4, "little", signed=True)
    assert arm.read().velocity[:3].tolist() == pytest.approx([2.39808, -2.39808, 0], abs=1e-5)


def test_the_grip_is_limited_by_current_or_by_pwm(virtual: VirtualBus, arm: DynamixelArm) -> None:
    """By current in mode 5, by PWM in the others, as a share of the servo's own limit."""
    arm.enable()
    assert int.from_bytes(virtual.registers(6)[GOAL_CURRENT:104], "little") == 1470 // 2
    assert int.from_bytes(virtual.registers(6)[GOAL_PWM:102], "little") == 885
    gripper = msgspec.structs.replace(KOCH.gripper, operating_mode=None, torque_limit=0.2)
    plain = msgspec.structs.replace(KOCH, gripper=gripper)
    with virtual_arm(plain) as bus, closing(connect(plain, bus.port, latency_s=5.0)) as arm:
        arm.identify()
        arm.enable()
        assert int.from_bytes(bus.registers(6)[GOAL_PWM:102], "little") == 885 // 5
        assert int.from_bytes(bus.registers(6)[GOAL_CURRENT:104], "little") == 1470


@pytest.mark.parametrize("mode", [1, 8])
def test_a_drive_mode_that_changes_the_meaning_of_goals_is_refused(
    virtual: VirtualBus, arm: DynamixelArm, mode: int
) -> None:
    """Reversed, or torque on with the first goal."""
    virtual.registers(3)[DRIVE_MODE] = mode
    with pytest.raises(ArmError, match=f"servo 3 has drive_mode {mode}, not 0"):
        arm.identify()


def test_an_unknown_model_is_refused_before_the_port_is_opened() -> None:
    """Its units would be guesses."""
    strange = msgspec.structs.replace(KOCH, model=9999)
    with pytest.raises(ArmError, match="model 9999"):
        connect(strange, "/dev/nowhere")
