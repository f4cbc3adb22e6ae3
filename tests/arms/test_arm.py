"""What every arm promises (`runtime/arms/arm.py`), on the virtual servos of each kind."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Literal, get_type_hints

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dreamvla_edge.runtime.arms import connect, dynamixel_arm, open_arm
from dreamvla_edge.runtime.arms.arm import Arm, PortGone, SilentServos
from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.arms.port import Port
from dreamvla_edge.runtime.errors import ArmError
from dreamvla_edge.sim.fault import Fault
from dreamvla_edge.sim.virtual_arm import start_positions, virtual_arm
from dreamvla_edge.sim.virtual_bus import VirtualBus

STEP = 2 * math.pi / 4096
# Addresses: torque_enable, goal_position (with its size), error bits, and the end of the EEPROM.
TORQUE = {"feetech": 40, "dynamixel": 64}
GOAL = {"feetech": (42, 2), "dynamixel": (116, 4)}
FAULTS = {"feetech": 65, "dynamixel": 70}
MODE = {"feetech": 33, "dynamixel": 11}
EEPROM_END = {"feetech": 40, "dynamixel": 64}
TEMPERATURE = {"feetech": 63, "dynamixel": 146}


@pytest.fixture(autouse=True)
def patient_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    """2.5 s instead of 100 ms: a test machine may well stall for that long."""
    monkeypatch.setattr(dynamixel_arm, "WATCHDOG", 127)


@contextmanager
def quick(description: ArmDescription, bus: VirtualBus) -> Iterator[Arm]:
    """The driver with a short patience, for tests in which somebody stays silent."""
    with closing(connect(description, bus.port, latency_s=0.1)) as arm:
        yield arm


def goals(bus: VirtualBus, description: ArmDescription) -> list[tuple[int, int]]:
    """Servo and goal of the writes that set one, in order."""
    address = GOAL[description.protocol][0]
    return [(w.servo, int.from_bytes(w.data, "little")) for w in bus.writes if w.address == address]


def torque(bus: VirtualBus, description: ArmDescription) -> list[int]:
    """Whether each servo has its torque on."""
    return [bus.registers(s)[TORQUE[description.protocol]] for s in description.servos]


def somewhere(description: ArmDescription, share: float) -> np.ndarray:
    """Angles at this share of every joint's range."""
    return np.array([j.lower_rad + share * (j.upper_rad - j.lower_rad) for j in description.joints])


def wait_until(true: Callable[[], bool]) -> None:
    """Waits as long as a slow machine may need."""
    start = time.monotonic()
    while not true():
        assert time.monotonic() - start < 60
        time.sleep(0.005)


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
        arm.hold()
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


def test_hold_stops_a_moving_arm(
    description: ArmDescription, virtual: VirtualBus, arm: Arm
) -> None:
    """Joints stop near where they were, far from the goal; the gripper goes on to its goal."""
    arm.enable()
    far = somewhere(description, 0.95)
    arm.write(far, 0.0)
    start = virtual.position(1)
    wait_until(lambda: abs(virtual.position(1) - start) > 20)
    arm.hold()
    wait_until(lambda: not arm.read().velocity.any() and arm.read().gripper < 0.001)
    reading = arm.read()
    assert np.all(np.abs(reading.joints - far) > 0.1)
    assert torque(virtual, description) == [1] * 6
    held = reading.joints
    time.sleep(0.05)
    np.testing.assert_array_equal(arm.read().joints, held)


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


def test_silent_servos_are_named(description: ArmDescription, virtual: VirtualBus) -> None:
    """All of them at once, by every method that needs them; the others are reached."""
    with quick(description, virtual) as arm:
        arm.enable()
        for servo in (2, 5):
            virtual.fault(Fault("off", servo))
        for operation in (arm.identify, arm.read, arm.hold, arm.enable, arm.registers, arm.release):
            with pytest.raises(SilentServos, match="servo 2, 5 on") as caught:
                operation()
            assert caught.value.servos == (2, 5)
    assert [
        t
        for s, t in zip(description.servos, torque(virtual, description), strict=True)
        if s not in (2, 5)
    ] == [0] * 4


def test_a_reading_asks_again_only_when_the_cycle_has_time(
    description: ArmDescription, virtual: VirtualBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, those that missed; never in a cycle that is over."""
    asked: list[int] = []
    ask = Port.ask

    def spy(port: Port, *arguments: object) -> object:
        asked.append(len(arguments[2]))  # type: ignore[arg-type]
        return ask(port, *arguments)  # type: ignore[arg-type]

    virtual.fault(Fault("off", 2))
    monkeypatch.setattr(Port, "ask", spy)
    for cycle_s, expected in ((5.0, [6, 1]), (0.001, [6])):
        with closing(connect(description, virtual.port, cycle_s=cycle_s, latency_s=0.1)) as arm:
            with pytest.raises(SilentServos):
                arm.read()
        assert asked == expected
        asked.clear()


def test_a_lost_answer_is_asked_for_again(description: ArmDescription, virtual: VirtualBus) -> None:
    """A reading succeeds although one answer in five is lost, most of the time."""
    virtual.fault(Fault("intermittent", 3, 0.2))
    done = 0
    with closing(connect(description, virtual.port, cycle_s=1.0, latency_s=0.2)) as arm:
        for _ in range(25):
            try:
                done += len(arm.read().servos) == 6
            except SilentServos as error:
                assert error.servos == (3,)
    assert done >= 18  # 24 are expected; without a second question 20 of 25, seldom fewer than 15


def test_a_late_answer_is_no_answer_to_the_next_question(
    description: ArmDescription, virtual: VirtualBus
) -> None:
    """It would pass an old position for a new one, measured before its stamp."""
    last = description.gripper.servo
    virtual.fault(Fault("delayed", last, 0.3))  # arrives in the middle of the next transaction
    with closing(connect(description, virtual.port, cycle_s=0.001, latency_s=0.2)) as arm:
        for _ in range(4):
            with pytest.raises(SilentServos) as caught:
                arm.read()
            assert caught.value.servos == (last,)


def test_garbage_on_the_wire_never_becomes_a_reading_of_another_arm(
    description: ArmDescription, virtual: VirtualBus
) -> None:
    """Each reading is right or there is none."""
    truth = {s: virtual.position(s) for s in description.servos}
    virtual.fault(Fault("garbage", None, 0.15))
    done = 0
    with closing(connect(description, virtual.port, cycle_s=0.1, latency_s=0.02)) as arm:
        for _ in range(60):
            try:
                reading = arm.read()
            except SilentServos:
                continue
            done += 1
            for joint, angle in zip(description.joints, reading.joints, strict=True):
                assert round(joint.zero_step + joint.direction * angle / STEP) == truth[joint.servo]
    assert done > 10


def test_a_pulled_cable_ends_every_method_alike_and_the_arm_is_opened_anew(
    description: ArmDescription, tmp_path: Path
) -> None:
    """By its stable name, behind which there is another device now."""
    link = tmp_path / "arm"
    with virtual_arm(description, link=link) as bus:
        with closing(connect(description, str(link), latency_s=0.5)) as arm:
            arm.enable()
            device = link.resolve()
            bus.unplug()
            middle = somewhere(description, 0.5)
            for operation in (
                arm.identify,
                arm.read,
                lambda: arm.write(middle, 0.5),
                arm.enable,
                arm.hold,
                arm.release,
                arm.registers,
                lambda: arm.store(1, {"homing_offset": 0}),
            ):
                with pytest.raises(PortGone, match="broke off") as caught:
                    operation()
                assert "cable" in caught.value.cure
        with pytest.raises(ArmError, match="does not exist"):
            connect(description, str(link))
        with open("/dev/ptmx", "rb"):  # takes the name of the device that was
            bus.replug()
        with closing(connect(description, str(link), latency_s=0.5)) as arm:
            assert link.resolve() != device
            arm.identify()
            assert arm.read().gripper == pytest.approx(0.5, abs=1e-3)


def test_a_cable_pulled_in_the_middle_of_a_reading(
    description: ArmDescription, virtual: VirtualBus
) -> None:
    """While the driver waits for an answer that never comes."""
    virtual.fault(Fault("off", 6))
    with closing(connect(description, virtual.port, latency_s=20.0)) as arm:
        pull = threading.Timer(0.2, virtual.unplug)
        pull.start()
        with pytest.raises(PortGone):
            arm.read()
        pull.join()


def test_storing_settings(description: ArmDescription, virtual: VirtualBus, arm: Arm) -> None:
    """Read back, and still there after the power was off."""
    arm.store(3, {"homing_offset": -5, "min_position": 100})
    stored = arm.registers()[3]
    assert (stored["homing_offset"], stored["min_position"]) == (-5, 100)
    virtual.fault(Fault("off", 3))
    virtual.mend(3)
    stored = arm.registers()[3]
    assert (stored["homing_offset"], stored["min_position"]) == (-5, 100)
    assert {w.servo for w in virtual.writes} == {3}


def test_storing_needs_torque_off_and_a_register_that_may_be_stored(
    description: ArmDescription, virtual: VirtualBus, arm: Arm
) -> None:
    """An id that changes would lose the servo."""
    for name in ("id", "baud_index", "goal_position", "torque_enable"):
        with pytest.raises(ValueError, match=name):
            arm.store(3, {name: 1})
    arm.enable()
    with pytest.raises(ArmError, match="torque on"):
        arm.store(3, {"homing_offset": 1})
    assert eeprom_writes(virtual, description) == 0


def eeprom_writes(bus: VirtualBus, description: ArmDescription) -> int:
    """How many writes went into the EEPROM, by the bus's own account."""
    return sum(bus.servo(servo).eeprom_writes for servo in description.servos)


def test_nothing_but_store_touches_the_eeprom(
    description: ArmDescription, virtual: VirtualBus, arm: Arm
) -> None:
    """It wears out, and a wrong limit in it outlives the program."""
    arm.identify()
    arm.enable()
    arm.write(somewhere(description, 0.6), 0.2)
    arm.hold()
    arm.enable()
    arm.release()
    arm.registers()
    assert eeprom_writes(virtual, description) == 0
    assert all(w.address >= EEPROM_END[description.protocol] for w in virtual.writes)
    arm.store(1, {"homing_offset": 3})
    assert eeprom_writes(virtual, description) == 1


def test_registers_are_all_there(
    description: ArmDescription, virtual: VirtualBus, arm: Arm
) -> None:
    """By servo and name, as the servos hold them."""
    found = arm.registers()
    assert list(found) == list(description.servos)
    for servo, values in found.items():
        assert values["id"] == servo
        assert values["model"] == description.models[servo]
        assert values["present_position"] == round(virtual.position(servo))
        assert values["present_temperature"] == 30


def test_a_port_that_is_in_use_says_by_whom(
    description: ArmDescription, virtual: VirtualBus
) -> None:
    """Two owners would garble each other's packets."""
    with (
        quick(description, virtual),
        pytest.raises(ArmError, match=r"used by process \d+") as caught,
    ):
        open_arm(description.name, virtual.port)
    assert "pytest" in caught.value.found
    with quick(description, virtual) as arm:  # the first owner gave it back
        arm.read()


def _fields(record: object) -> dict[str, object]:
    return {name: getattr(record, name) for name in record.__struct_fields__}  # type: ignore[attr-defined]
