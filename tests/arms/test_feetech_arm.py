"""What the Feetech driver does beyond what every arm does."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from dreamvla_edge.runtime.arms import connect
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.arms.feetech_arm import FeetechArm
from dreamvla_edge.sim.virtual_arm import virtual_arm
from dreamvla_edge.sim.virtual_bus import VirtualBus

SO101 = load_description("so101")
LOCK, TORQUE_LIMIT, MAX_TORQUE, UNIT, VELOCITY, CURRENT = 55, 48, 16, 82, 58, 69


@pytest.fixture
def virtual() -> Iterator[VirtualBus]:
    """A virtual SO-101."""
    with virtual_arm(SO101) as bus:
        yield bus


@pytest.fixture
def arm(virtual: VirtualBus) -> Iterator[FeetechArm]:
    """Its driver."""
    with closing(connect(SO101, virtual.port, latency_s=5.0)) as arm:
        assert isinstance(arm, FeetechArm)
        yield arm


def test_the_grip_is_limited_where_power_off_forgets_it(
    virtual: VirtualBus, arm: FeetechArm
) -> None:
    """Half the torque for the gripper, all of it for the joints, the stored limit untouched."""
    arm.enable()
    limits = [int.from_bytes(virtual.registers(s)[TORQUE_LIMIT:50], "little") for s in range(1, 7)]
    assert limits == [1000] * 5 + [500]
    assert int.from_bytes(virtual.registers(6)[MAX_TORQUE:18], "little") == 1000


def test_velocity_counts_in_the_unit_that_the_servo_names(
    virtual: VirtualBus, arm: FeetechArm
) -> None:
    """50 units of 1 or of 50 steps per second; the sign is a bit."""
    virtual.registers(1)[VELOCITY : VELOCITY + 2] = (50).to_bytes(2, "little")
    virtual.registers(2)[VELOCITY : VELOCITY + 2] = (0x8000 | 50).to_bytes(2, "little")
    virtual.registers(2)[UNIT] = 50
    virtual.registers(3)[UNIT] = 0
    virtual.registers(3)[VELOCITY : VELOCITY + 2] = (50).to_bytes(2, "little")
    arm.identify()
    turn = 2 * math.pi / 4096
    assert arm.read().velocity[:3].tolist() == pytest.approx([50 * turn, -2500 * turn, 50 * turn])


def test_current_counts_in_units_of_six_and_a_half_milliampere(
    virtual: VirtualBus, arm: FeetechArm
) -> None:
    """100 units, forwards and backwards."""
    for servo, word in ((1, 100), (2, 0x8000 | 100)):
        virtual.registers(servo)[CURRENT : CURRENT + 2] = word.to_bytes(2, "little")
    assert [s.current_a for s in arm.read().servos[:3]] == pytest.approx([0.65, 0.65, 0.0])


def test_the_eeprom_is_locked_again_after_storing(virtual: VirtualBus, arm: FeetechArm) -> None:
    """Also when a value is refused before it is sent."""
    arm.store(2, {"homing_offset": 7})
    with pytest.raises(ValueError, match="homing_offset"):
        arm.store(2, {"homing_offset": 4000})
    assert virtual.registers(2)[LOCK] == 1
    locks = [w.data for w in virtual.writes if w.address == LOCK]
    assert locks == [b"\0", b"\1", b"\0", b"\1"]


def test_a_dead_host_is_nothing_that_these_servos_notice(
    virtual: VirtualBus, arm: FeetechArm
) -> None:
    """Why somebody else must watch: the arm goes on to its last goal."""
    arm.enable()
    joints = arm.read().joints
    joints[0] += 0.8
    arm.write(joints, 0.5)
    arm.close()
    time.sleep(0.5)
    joint = SO101.joints[0]
    assert round(virtual.position(1)) == joint.zero_step + round(joints[0] * 4096 / (2 * math.pi))
