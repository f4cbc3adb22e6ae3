"""What every arm promises (`runtime/arms/arm.py`), on the virtual servos of each kind."""

from __future__ import annotations

import math
import time
from typing import Literal, get_type_hints

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from arms.contract import (
    FAULTS,
    GOAL,
    MODE,
    STEP,
    TEMPERATURE,
    TORQUE,
    goals,
    quick,
    somewhere,
    torque,
    wait_until,
)
from dreamvla_edge.runtime.arms import dynamixel_arm
from dreamvla_edge.runtime.arms.arm import Arm
from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.arms.port import Port
from dreamvla_edge.runtime.errors import ArmError
from dreamvla_edge.sim.virtual_arm import start_positions, virtual_arm
from dreamvla_edge.sim.virtual_bus import VirtualBus


@pytest.fixture(autouse=True)
def patient_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    """2.5 s instead of 100 ms: a test machine may well stall for that long."""
    monkeypatch.setattr(dynamixel_arm, "WATCHDOG", 127)


def test_the_driver_has_every_method_of_an_arm(arm: Arm) -> None:
    """And says which arm it drives."""
    wanted = {name for name in vars(Arm) if not name.startswith("_")} | set(get_type_hints(Arm))
    assert [name for name in wanted if not hasattr(arm, name)] == []


def test_opening_and_identifying_change_nothing(virtual: VirtualBus, arm: Arm) -> None:
    """No torque, no goal, no setting."""
    arm.identify()
    arm.registers()
    assert virtual.writes == ()


def test_identify_reports_everything_that_is_wrong_at_once(description: ArmDescription) -> None:
    """Another model, another mode, another offset, a position outside the turn."""
    joints = list(description.joints)
    with virtual_arm(description) as bus:
        bus.servo(4).preset_offset(-7)
        bus.registers(2)[MODE[description.protocol]] = 1
        bus.registers(5)[0:5] = b"\x2a\x00\x00\x2a\x00"  # in both kinds, the model is in there
        expected = [
            type(joint)(**{**_fields(joint), "homing_offset": 12 if joint.servo == 4 else None})
            for joint in joints
        ]
        other = type(description)(**{**_fields(description), "joints": tuple(expected)})
        with quick(other, bus) as arm, pytest.raises(ArmError) as caught:
            arm.identify()
    for part in (
        "servo 2 has operating_mode 1",
        "servo 4 has homing_offset -7, not 12",
        "servo 5 has model 42",
    ):
        assert part in caught.value.found
    assert "calibrate" in caught.value.cure


def test_identify_wants_positions_within_one_turn(description: ArmDescription) -> None:
    """Where the middle is not stored in a servo, a joint's angle would be off by a turn."""
    with VirtualBus(
        start_positions(description) | {3: 4400},
        protocol=description.protocol,
        models=description.models,
    ) as bus:
        with quick(description, bus) as arm, pytest.raises(ArmError, match="servo 3 is at step"):
            arm.identify()


def test_reading(description: ArmDescription, virtual: VirtualBus, arm: Arm) -> None:
    """Angles and opening of the positions on the bus, health, a time before now."""
    virtual.registers(4)[TEMPERATURE[description.protocol]] = 51
    before = time.monotonic()
    reading = arm.read()
    after = time.monotonic()
    expected = [
        joint.direction * (virtual.position(joint.servo) - joint.zero_step) * STEP
        for joint in description.joints
    ]
    np.testing.assert_allclose(reading.joints, expected, atol=1e-12)
    assert reading.gripper == pytest.approx(0.5, abs=1e-3)
    assert reading.velocity.tolist() == [0.0] * len(description.joints)
    assert before <= reading.stamp_s <= after
    assert [servo.temperature_c for servo in reading.servos] == [30, 30, 30, 51, 30, 30]
    assert all(4 < servo.voltage_v < 13 and servo.faults == () for servo in reading.servos)
    assert all(servo.load == 0 and servo.current_a == 0 for servo in reading.servos)


def test_a_reading_is_one_transaction(arm: Arm, monkeypatch: pytest.MonkeyPatch) -> None:
    """One packet leaves the host, however many servos and values there are."""
    sent: list[bytes] = []
    send = Port._send
    arm.read()  # the first reading of a Dynamixel arm asks for the watchdogs too
    monkeypatch.setattr(Port, "_send", lambda port, p: (sent.append(p), send(port, p))[1])
    arm.read()
    assert len(sent) == 1


@pytest.mark.parametrize("direction", [1, -1])
def test_velocity_and_load_have_units_and_signs(
    description: ArmDescription, direction: Literal[1, -1]
) -> None:
    """Up is positive in every joint, whichever way its servo turns."""
    joints = tuple(replace(joint, direction=direction) for joint in description.joints)
    description = replace(description, joints=joints)
    with virtual_arm(description) as bus, quick(description, bus) as arm:
        arm.identify()
        arm.enable()
        arm.write(somewhere(description, 0.9), 1.0)
        fastest = np.zeros(len(joints))
        start = time.monotonic()
        while fastest.min() < 0.5 and time.monotonic() - start < 60:
            fastest = np.maximum(fastest, arm.read().velocity)
        assert np.all((fastest > 0.5) & (fastest < 50))
        arm.enable()  # which stops it
        wait_until(lambda: not arm.read().velocity.any())
        servo = joints[2].servo
        at = bus.position(servo)
        bus.obstruct(servo, (at - 1, at + 1))
        arm.write(somewhere(description, 0.2), 0.5)
        wait_until(lambda: arm.read().servos[2].load != 0)
        reading = arm.read()
        assert -1 <= reading.servos[2].load <= 1
        assert 0 < reading.servos[2].current_a < 3


def test_faults_are_data(description: ArmDescription, virtual: VirtualBus, arm: Arm) -> None:
    """Named alike in both protocols; the arm can still be read, held and released."""
    arm.enable()
    virtual.registers(3)[FAULTS[description.protocol]] = 0x24
    virtual.registers(2)[FAULTS[description.protocol]] = 0x41
    for _ in range(2):
        servos = arm.read().servos
        assert servos[2].faults == ("overheated", "overload")
        assert servos[1].faults == ("voltage", "unknown fault 64")
        assert [s.faults for s in (servos[0], *servos[3:])] == [()] * 4
    arm.release()
    assert torque(virtual, description) == [0] * 6


def test_torque_comes_on_without_a_motion(
    description: ArmDescription, virtual: VirtualBus, arm: Arm
) -> None:
    """An old goal far away is replaced by the present position before torque is on."""
    address, size = GOAL[description.protocol]
    before = {s: virtual.position(s) for s in description.servos}
    virtual.registers(2)[address : address + size] = (2900).to_bytes(size, "little")
    arm.enable()
    for servo in description.servos:
        mine = [w for w in virtual.writes if w.servo == servo]
        first_torque = next(
            i for i, w in enumerate(mine) if w.address == TORQUE[description.protocol]
        )
        assert mine[first_torque].data == b"\x01"
        goal = [w for w in mine[:first_torque] if w.address == address]
        assert goal and int.from_bytes(goal[-1].data, "little") == round(before[servo])
        assert virtual.position(servo) == before[servo]
    assert torque(virtual, description) == [1] * 6


def test_enabling_again_while_moving_stops(
    description: ArmDescription, virtual: VirtualBus, arm: Arm
) -> None:
    """What a guardian does after a fault was cleared."""
    arm.enable()
    arm.write(somewhere(description, 0.95), 0.5)
    start = virtual.position(1)
    wait_until(lambda: abs(virtual.position(1) - start) > 20)
    arm.enable()
    wait_until(lambda: not arm.read().velocity.any())
    assert abs(arm.read().joints - somewhere(description, 0.95)).min() > 0.1


def test_goals_are_reached(description: ArmDescription, virtual: VirtualBus, arm: Arm) -> None:
    """What was written is read back, to half a step."""
    arm.enable()
    for share, opening in ((0.4, 0.25), (0.6, 0.75)):
        joints = somewhere(description, share)
        arm.write(joints, opening)
        wait_until(
            lambda joints=joints: np.abs(arm.read().joints - joints).max() <= STEP / 2 + 1e-9
        )
        wait_until(lambda opening=opening: abs(arm.read().gripper - opening) <= 0.001)


def test_every_limit_itself_is_allowed(
    description: ArmDescription, virtual: VirtualBus, arm: Arm
) -> None:
    """And stays inside the servo's turn."""
    for share in (0.0, 1.0):
        limit = [j.upper_rad if share else j.lower_rad for j in description.joints]
        arm.write(np.array(limit), share)
    arm.read()  # the virtual wire carries one thing at a time
    sent = goals(virtual, description)
    assert len(sent) == 12
    assert all(0 <= step < 4096 for _, step in sent)


numbers = st.one_of(st.floats(-4, 4), st.sampled_from([math.nan, math.inf, -math.inf, 1e300]))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(numbers, min_size=5, max_size=5), st.one_of(st.floats(0, 1), numbers))
def test_no_bad_goal_reaches_the_wire(
    description: ArmDescription, virtual: VirtualBus, arm: Arm, joints: list[float], gripper: float
) -> None:
    """Everything within the limits is sent to all servos; anything else is refused as a whole."""
    allowed = 0 <= gripper <= 1 and all(
        joint.lower_rad <= angle <= joint.upper_rad
        for joint, angle in zip(description.joints, joints, strict=True)
    )
    before = len(virtual.writes)
    if allowed:
        arm.write(np.array(joints), gripper)
    else:
        with pytest.raises(ArmError, match="must not take"):
            arm.write(np.array(joints), gripper)
    arm.read()
    assert len(virtual.writes) - before == (6 if allowed else 0)


def test_a_nan_in_any_place_is_refused(virtual: VirtualBus, arm: Arm) -> None:
    """NaN compares false with everything, so a careless check lets it pass."""
    for i in range(6):
        values = somewhere(arm.description, 0.5).tolist() + [0.5]
        values[i] = math.nan
        with pytest.raises(ArmError, match="nan"):
            arm.write(np.array(values[:5]), float(values[5]))
    for joints in (np.zeros(4), np.zeros((1, 5))):
        with pytest.raises(ArmError, match="shape"):
            arm.write(joints, 0.5)
    arm.read()
    assert virtual.writes == ()


def test_closing_keeps_torque_and_releasing_ends_it(
    description: ArmDescription, virtual: VirtualBus
) -> None:
    """An arm that falls is no safe arm."""
    with quick(description, virtual) as arm:
        arm.enable()
    assert torque(virtual, description) == [1] * 6
    with quick(description, virtual) as arm:
        arm.release()
    assert torque(virtual, description) == [0] * 6


def _fields(record: object) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__struct_fields__}  # type: ignore[attr-defined]
