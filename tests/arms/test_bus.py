"""The serial bus against virtual servos and against everything that breaks."""

from __future__ import annotations

import errno
import math
import os
import tty
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import serial

from dreamvla_edge.runtime.arms.bus import FeetechBus
from dreamvla_edge.runtime.errors import ArmError
from dreamvla_edge.sim.virtual_bus import VirtualBus

PATIENT_S = 5.0  # a loaded test machine is no reason to fail


@contextmanager
def connect(bus: VirtualBus, reply_s: float = PATIENT_S) -> Iterator[FeetechBus]:
    """The bus under test on the virtual port."""
    with closing(FeetechBus(bus.port, reply_s=reply_s)) as connected:
        yield connected


def test_reading_a_block(virtual_bus: VirtualBus) -> None:
    """Values by id and name, a fault by id, nobody silent."""
    virtual_bus.registers(3)[65] = 0x20
    virtual_bus.registers(4)[63] = 55
    with connect(virtual_bus) as bus:
        answers = bus.sync_read([3, 1, 4], "present_position", "present_temperature")
    assert {s: v["present_position"] for s, v in answers.values.items()} == {
        3: 2200,
        1: 2000,
        4: 2300,
    }
    assert answers.values[4]["present_temperature"] == 55
    assert answers.errors == {3: 0x20, 1: 0, 4: 0}
    assert answers.silent == ()


def test_a_silent_servo_is_named_and_the_others_are_read(virtual_bus: VirtualBus) -> None:
    """One missing answer costs its own value only."""
    with connect(virtual_bus, reply_s=0.5) as bus:
        answers = bus.sync_read([1, 9, 2], "model", "model")
        assert answers.values == {1: {"model": 777}, 2: {"model": 777}}
        assert answers.silent == (9,)
        assert bus.ping(9) is None
        assert bus.write(9, "torque_enable", 1) is None
        assert bus.ping(1) == 0


def test_writing(virtual_bus: VirtualBus) -> None:
    """One servo with acknowledgement, several without."""
    with connect(virtual_bus) as bus:
        assert bus.write(2, "homing_offset", -5) == 0
        bus.sync_write("goal_position", {1: 2001, 2: 4000})
        assert bus.ping(1) == 0  # the virtual wire carries one thing at a time
    assert [(w.servo, w.address, w.data) for w in virtual_bus.writes] == [
        (2, 31, b"\x05\x08"),
        (1, 42, b"\xd1\x07"),
        (2, 42, b"\xa0\x0f"),
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, 2048.5, 40_000, -32_768])
def test_a_value_that_does_not_fit_stops_the_whole_write(
    virtual_bus: VirtualBus, value: float
) -> None:
    """Nothing is sent, not even for the servos whose goals were right."""
    with connect(virtual_bus) as bus:
        with pytest.raises((TypeError, ValueError)):
            bus.sync_write("goal_position", {1: 2000, 2: value})  # type: ignore[dict-item]
        with pytest.raises((TypeError, ValueError)):
            bus.write(1, "goal_position", value)  # type: ignore[arg-type]
        assert bus.ping(1) == 0
    assert virtual_bus.writes == ()


def test_answers_from_before_are_thrown_away(virtual_bus: VirtualBus) -> None:
    """A late answer waits in the buffer; it must not pass for the answer to the next question."""
    with connect(virtual_bus) as bus:
        late = os.open(virtual_bus.port, os.O_RDWR | os.O_NOCTTY)  # somebody asked before
        os.write(late, bytes.fromhex("FFFF0104023802BE"))
        while bus._serial.in_waiting < 8:
            pass
        os.close(late)
        virtual_bus.registers(1)[31:33] = b"\x64\x00"  # the present position is 100 less now
        answers = bus.sync_read([1], "present_position", "present_position")
    assert answers.values == {1: {"present_position": 1900}}


def test_noise_before_an_answer_is_skipped() -> None:
    """Half a packet, noise, then the answer: found at the end of the waiting time at latest."""
    master, device = os.openpty()
    tty.setraw(device)
    try:
        with closing(FeetechBus(os.ttyname(device), reply_s=1.0)) as bus:
            noise = bytes.fromhex("A5 FF FF 01 04 00 FF")
            status = bytes.fromhex("FF FF 01 04 00 18 05 DD")
            bus._serial.reset_input_buffer = lambda: os.write(master, noise + status)  # type: ignore[method-assign]
            answers = bus.sync_read([1], "present_position", "present_position")
        assert answers.values == {1: {"present_position": 0x0518}}
    finally:
        os.close(master)
        os.close(device)


def test_a_pulled_cable(virtual_bus: VirtualBus) -> None:
    """Every operation ends in the same clear error, whatever pyserial raises."""
    with connect(virtual_bus) as bus:
        assert bus.ping(1) == 0
        virtual_bus.close()
        for operation in (
            lambda: bus.ping(1),
            lambda: bus.sync_read([1], "model", "model"),
            lambda: bus.write(1, "torque_enable", 0),
            lambda: bus.sync_write("goal_position", {1: 0}),
        ):
            with pytest.raises(ArmError, match="broke off") as caught:
                operation()
            assert "cable" in caught.value.cure


def test_no_such_port() -> None:
    """The error lists the ports there are."""
    with pytest.raises(ArmError, match="does not exist") as caught:
        FeetechBus("/dev/serial/by-id/nothing")
    assert "ports here" in caught.value.cure


def test_a_port_that_another_program_uses(virtual_bus: VirtualBus) -> None:
    """Two owners would garble each other's packets."""
    with connect(virtual_bus), pytest.raises(ArmError, match="another program"):
        FeetechBus(virtual_bus.port)
    with connect(virtual_bus) as bus:  # the first owner gave it back
        assert bus.ping(1) == 0


def test_a_port_without_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cure is the group, not chmod. (Root may open everything, so the refusal is staged.)"""

    def refuse(*_: object, **__: object) -> None:
        raise serial.SerialException(errno.EACCES, "Permission denied")

    monkeypatch.setattr(serial, "Serial", refuse)
    with pytest.raises(ArmError, match="this user") as caught:
        FeetechBus("/dev/ttyACM0")
    assert "dialout" in caught.value.cure


def test_a_file_is_no_port(tmp_path: Path, virtual_bus: VirtualBus) -> None:
    """Neither is an impossible speed a speed."""
    (tmp_path / "file").touch()
    with pytest.raises(ArmError, match="cannot be opened"):
        FeetechBus(str(tmp_path / "file"))
    with pytest.raises(ArmError, match="cannot be opened"):
        FeetechBus(virtual_bus.port, baud=-1)
