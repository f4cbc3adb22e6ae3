"""The SO-101 driver on a virtual SO-101."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import get_type_hints

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dreamvla_edge.runtime.arms import ARMS, open_arm
from dreamvla_edge.runtime.arms.arm import Arm
from dreamvla_edge.runtime.arms.feetech_arm import FeetechArm
from dreamvla_edge.runtime.errors import ArmError
from dreamvla_edge.sim.fault import Fault
from dreamvla_edge.sim.virtual_bus import VirtualBus, Write

TORQUE, GOAL = 40, 42
STEP = 2 * math.pi / 4096


@pytest.fixture
def arm(virtual_bus: VirtualBus) -> Iterator[Arm]:
    """Connected, nothing written yet."""
    with closing(open_arm("so101", virtual_bus.port)) as arm:
        yield arm


def goals(writes: tuple[Write, ...]) -> list[tuple[int, int]]:
    """Servo and goal position of the writes that set one."""
    return [(w.servo, int.from_bytes(w.data, "little")) for w in writes if w.address == GOAL]


def wait_until(true: Callable[[], bool]) -> None:
    """Waits as long as a slow machine may need."""
    start = time.monotonic()
    while not true():
        assert time.monotonic() - start < 60
        time.sleep(0.01)


def test_connecting_changes_nothing(virtual_bus: VirtualBus, arm: Arm) -> None:
    """No torque, no goal, no setting."""
    assert virtual_bus.writes == ()


def test_reading(virtual_bus: VirtualBus, arm: Arm) -> None:
    """Angles from the middle of the turn, the opening of the jaw, health, a time before now."""
    virtual_bus.registers(4)[63] = 61
    before = time.monotonic()
    reading = arm.read()
    np.testing.assert_allclose(reading.joints, np.array([-48, -148, 152, 252, -248]) * STEP)
    assert reading.gripper == pytest.approx((2100 - 1422) / (2674 - 1422))
    assert before <= reading.stamp_s <= time.monotonic()
    assert [health.temperature_c for health in reading.servos] == [30, 30, 30, 61, 30, 30]
    assert {health.voltage_v for health in reading.servos} == {12.0}


def test_torque_comes_on_without_a_motion(virtual_bus: VirtualBus, arm: Arm) -> None:
    """An old goal far away is replaced by the present position before torque is on."""
    virtual_bus.registers(2)[GOAL : GOAL + 2] = (3000).to_bytes(2, "little")
    arm.enable()
    for servo, position in zip(range(1, 7), (2000, 1900, 2200, 2300, 1800, 2100), strict=True):
        mine = [(w.address, w.data) for w in virtual_bus.writes if w.servo == servo]
        assert mine == [(GOAL, position.to_bytes(2, "little")), (TORQUE, b"\x01")]
        assert virtual_bus.position(servo) == position


def test_goals_are_reached(virtual_bus: VirtualBus, arm: Arm) -> None:
    """What was written is read back, to half a step."""
    arm.enable()
    joints = np.array([0.1, -0.2, 0.3, -0.4, 0.5])
    arm.write(joints, 0.25)
    wait_until(lambda: np.abs(arm.read().joints - joints).max() <= STEP / 2 + 1e-9)
    wait_until(lambda: abs(arm.read().gripper - 0.25) <= 0.5 / (2674 - 1422))
    arm.read()
    assert all(virtual_bus.registers(servo)[TORQUE] == 1 for servo in range(1, 7))


def test_every_limit_itself_is_allowed(virtual_bus: VirtualBus, arm: Arm) -> None:
    """And stays inside the servo's turn."""
    for end in ("lower_rad", "upper_rad"):
        arm.write(np.array([getattr(joint, end) for joint in arm.description.joints]), 1.0)
    arm.read()
    steps = [step for _, step in goals(virtual_bus.writes)]
    assert len(steps) == 12
    assert all(0 <= step < 4096 for step in steps)


numbers = st.one_of(st.floats(-4, 4), st.sampled_from([math.nan, math.inf, -math.inf, 1e300]))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(numbers, min_size=5, max_size=5), st.one_of(st.floats(0, 1), numbers))
def test_no_bad_goal_reaches_the_wire(
    virtual_bus: VirtualBus, arm: Arm, joints: list[float], gripper: float
) -> None:
    """Everything within the limits is sent to all servos; anything else is refused as a whole."""
    allowed = 0 <= gripper <= 1 and all(
        joint.lower_rad <= angle <= joint.upper_rad
        for joint, angle in zip(arm.description.joints, joints, strict=True)
    )
    before = len(virtual_bus.writes)
    if allowed:
        arm.write(np.array(joints), gripper)
    else:
        with pytest.raises(ArmError, match="must not take"):
            arm.write(np.array(joints), gripper)
    arm.read()  # the virtual wire carries one thing at a time
    assert len(virtual_bus.writes) - before == (6 if allowed else 0)


def test_a_nan_in_any_place_is_refused(virtual_bus: VirtualBus, arm: Arm) -> None:
    """NaN compares false with everything, so a careless check lets it pass."""
    for i in range(6):
        values = np.zeros(6)
        values[i] = math.nan
        with pytest.raises(ArmError, match="nan"):
            arm.write(values[:5], float(values[5]))
    for joints in (np.zeros(4), np.zeros((1, 5))):
        with pytest.raises(ArmError, match="shape"):
            arm.write(joints, 0.5)
    arm.read()
    assert virtual_bus.writes == ()


def test_hold_stops_a_moving_arm(virtual_bus: VirtualBus, arm: Arm) -> None:
    """Joints stop near where they were, far from the goal; the gripper goes on to its goal."""
    arm.enable()
    arm.write(np.array([1.9, -0.2, 0.2, 0.3, -0.3]), 0.0)
    wait_until(lambda: virtual_bus.position(1) > 2030)
    arm.hold()
    wait_until(lambda: virtual_bus.registers(1)[66] == 0 and virtual_bus.position(6) == 1422)
    present = goals(virtual_bus.writes)[-5:]
    assert [servo for servo, _ in present] == [1, 2, 3, 4, 5]
    assert virtual_bus.position(1) == present[0][1] < 2048 + 1.9 / STEP
    assert all(virtual_bus.registers(servo)[TORQUE] == 1 for servo in range(1, 7))


def test_release_and_close(virtual_bus: VirtualBus) -> None:
    """Closing keeps torque, releasing ends it."""
    arm = open_arm("so101", virtual_bus.port)
    arm.enable()
    arm.close()
    arm = open_arm("so101", virtual_bus.port)
    assert all(virtual_bus.registers(servo)[TORQUE] == 1 for servo in range(1, 7))
    arm.release()
    arm.close()
    assert all(virtual_bus.registers(servo)[TORQUE] == 0 for servo in range(1, 7))


def test_a_fault_stops_reading_but_not_holding(virtual_bus: VirtualBus, arm: Arm) -> None:
    """The error names servo and fault; the arm can still be stopped and released."""
    arm.enable()
    virtual_bus.registers(3)[65] = 0x24
    for operation in (arm.read, arm.enable):
        with pytest.raises(ArmError, match="3: overheated, overload"):
            operation()
    arm.hold()
    arm.release()
    assert virtual_bus.registers(3)[TORQUE] == 0


def test_silent_servos_are_named() -> None:
    """At connection all of them at once."""
    with (
        VirtualBus({1: 2048, 2: 2048, 4: 2048, 5: 2048}) as bus,
        pytest.raises(ArmError, match="servo 3, 6 on"),
    ):
        open_arm("so101", bus.port)


def test_a_servo_that_dies_does_not_keep_the_others_from_stopping() -> None:
    """Hold reaches the other four, release the other five, then both report the silent one."""
    with VirtualBus(dict.fromkeys(range(1, 7), 2048)) as bus:
        with closing(open_arm("so101", bus.port)) as arm:
            arm.enable()
            bus.fault(Fault("intermittent", 2, 1.0))  # it hears but never answers
            before = len(bus.writes)
            with pytest.raises(ArmError, match="servo 2 on"):
                arm.read()
            with pytest.raises(ArmError, match="servo 2 on"):
                arm.hold()
            assert [servo for servo, _ in goals(bus.writes[before:])] == [1, 3, 4, 5]
            with pytest.raises(ArmError, match="servo 2 on"):
                arm.release()
            assert [bus.registers(s)[TORQUE] for s in (1, 3, 4, 5, 6)] == [0] * 5


def test_another_kind_of_servo_is_refused(virtual_bus: VirtualBus) -> None:
    """And the port is free again afterwards."""
    virtual_bus.registers(5)[3:5] = (1284).to_bytes(2, "little")
    with pytest.raises(ArmError, match="5: 1284"):
        open_arm("so101", virtual_bus.port)
    virtual_bus.registers(5)[3:5] = (777).to_bytes(2, "little")
    open_arm("so101", virtual_bus.port).close()


def test_a_position_outside_the_turn_asks_for_calibration(
    virtual_bus: VirtualBus, arm: Arm
) -> None:
    """A homing offset of another middle makes positions negative or larger than a turn."""
    virtual_bus.registers(5)[31:33] = (2000).to_bytes(2, "little")
    with pytest.raises(ArmError, match="5: -200") as caught:
        arm.read()
    assert "calibrate" in caught.value.cure


def test_an_unknown_arm_is_refused_with_the_known_ones() -> None:
    """No import is tried."""
    with pytest.raises(ArmError, match="one of so101"):
        open_arm("so102", "/dev/null")


def test_the_table_names_arms() -> None:
    """Each row can be imported and has every method of the protocol."""
    assert ARMS["so101"] == (FeetechArm.__module__, FeetechArm.__name__)
    wanted = {name for name in vars(Arm) if not name.startswith("_")} | set(get_type_hints(Arm))
    assert wanted - {"description"} <= set(vars(FeetechArm))
