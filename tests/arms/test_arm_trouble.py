"""What every arm promises when something goes wrong on the wire."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

import pytest

from arms.contract import (
    STEP,
    quick,
    somewhere,
    torque,
)
from dreamvla_edge.runtime.arms import connect, dynamixel_arm
from dreamvla_edge.runtime.arms.arm import PortGone, SilentServos
from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.arms.port import Port
from dreamvla_edge.runtime.errors import ArmError
from dreamvla_edge.sim.fault import Fault
from dreamvla_edge.sim.virtual_arm import virtual_arm
from dreamvla_edge.sim.virtual_bus import VirtualBus


@pytest.fixture(autouse=True)
def patient_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    """2.5 s instead of 100 ms: a test machine may well stall for that long."""
    monkeypatch.setattr(dynamixel_arm, "WATCHDOG", 127)


def test_silent_servos_are_named(description: ArmDescription, virtual: VirtualBus) -> None:
    """All of them at once, by every method that needs them; the others are reached."""
    with quick(description, virtual) as arm:
        arm.enable()
        for servo in (2, 5):
            virtual.fault(Fault("off", servo))
        for operation in (arm.identify, arm.read, arm.enable, arm.registers, arm.release):
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
