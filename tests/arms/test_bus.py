"""The bus with either codec, on virtual servos."""

from __future__ import annotations

import math
import os
import tty
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from dreamvla_edge.runtime.arms import dynamixel, feetech
from dreamvla_edge.runtime.arms.bus import Bus, Codec
from dreamvla_edge.runtime.arms.port import Port
from dreamvla_edge.sim.virtual_bus import VirtualBus

CODECS: dict[str, Codec] = {"feetech": feetech, "dynamixel": dynamixel}
MODELS = {"feetech": 777, "dynamixel": 1200}
START = {1: 2000, 2: 1900, 3: 2200, 4: 2300, 5: 1800, 6: 2100}
PATIENT_S = 5.0


@pytest.fixture(params=sorted(CODECS))
def protocol(request: pytest.FixtureRequest) -> str:
    """Each protocol in turn."""
    name: str = request.param
    return name


@pytest.fixture
def virtual(protocol: str) -> Iterator[VirtualBus]:
    """Six servos with the factory's return delay."""
    with VirtualBus(START, protocol=protocol) as bus:
        yield bus


@contextmanager
def connected(virtual: VirtualBus, protocol: str, latency_s: float = PATIENT_S) -> Iterator[Bus]:
    """The bus under test on the virtual port."""
    with closing(Bus(CODECS[protocol], virtual.port, 1_000_000, latency_s)) as bus:
        yield bus


def test_reading_a_block(virtual: VirtualBus, protocol: str) -> None:
    """Values by id and name, in any order of ids; an error byte by id; nobody silent."""
    fault = {"feetech": 65, "dynamixel": 70}[protocol]
    virtual.registers(3)[fault] = 0x20
    with connected(virtual, protocol) as bus:
        answers = bus.sync_read([3, 1, 4], "present_position", "present_temperature")
    assert {s: v["present_position"] for s, v in answers.values.items()} == {
        3: 2200,
        1: 2000,
        4: 2300,
    }
    assert answers.errors == {3: {"feetech": 0x20, "dynamixel": 0x80}[protocol], 1: 0, 4: 0}
    assert answers.silent == ()


def test_a_silent_servo_is_named_and_the_others_are_read(
    virtual: VirtualBus, protocol: str
) -> None:
    """One missing answer costs its own value only, and no waiting if others come after it."""
    model = {"model": MODELS[protocol]}
    with connected(virtual, protocol) as bus:
        answers = bus.sync_read([1, 9, 2], "model", "model")
        assert answers.values == {1: model, 2: model}
        assert answers.silent == (9,)
    with connected(virtual, protocol, 0.1) as bus:
        assert bus.ping(9) is None
        assert bus.ping(1) == 0


def test_the_question_after_a_silence_is_another_one(
    virtual: VirtualBus, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One byte longer, at the front where there is a register in front; the values are the same."""
    sent: list[bytes] = []
    send = Port._send
    monkeypatch.setattr(Port, "_send", lambda port, p: (sent.append(p), send(port, p))[1])
    with connected(virtual, protocol, 0.05) as bus:
        for name, value in (("present_position", 2300), ("model", MODELS[protocol])):
            sent.clear()
            for _ in range(3):
                assert bus.sync_read([9], name, name).silent == (9,)
                assert bus.sync_read([4], name, name).values == {4: {name: value}}
            assert sent[0] == sent[4] != sent[2]
            assert sent[1] == sent[5] != sent[3]


def test_writing_many_servos(virtual: VirtualBus, protocol: str) -> None:
    """One packet, one write each."""
    address, size = CODECS[protocol].TABLE.block("goal_position", "goal_position")
    with connected(virtual, protocol) as bus:
        bus.sync_write("goal_position", {1: 2001, 2: 4000})
        assert bus.ping(1) == 0  # the virtual wire carries one thing at a time
    assert [(w.servo, w.address, w.data) for w in virtual.writes] == [
        (1, address, (2001).to_bytes(size, "little")),
        (2, address, (4000).to_bytes(size, "little")),
    ]


@pytest.mark.parametrize("value", [math.nan, math.inf, 2048.5, 1 << 40, -(1 << 40)])
def test_a_value_that_does_not_fit_stops_the_whole_write(
    virtual: VirtualBus, protocol: str, value: float
) -> None:
    """Nothing is sent, not even for the servos whose goals were right."""
    with connected(virtual, protocol) as bus:
        with pytest.raises((TypeError, ValueError)):
            bus.sync_write("goal_position", {1: 2000, 2: value})  # type: ignore[dict-item]
        with pytest.raises((TypeError, ValueError)):
            bus.store(1, "homing_offset", value)  # type: ignore[arg-type]
        assert bus.ping(1) == 0
    assert virtual.writes == ()


def test_stored_settings_are_written_by_store_alone(virtual: VirtualBus, protocol: str) -> None:
    """Every register of the table, by both ways."""
    table = CODECS[protocol].TABLE
    with connected(virtual, protocol) as bus:
        for name in table.registers:
            low, _ = table.registers[name].range
            if table.is_stored(name):
                with pytest.raises(ValueError, match="stored"):
                    bus.sync_write(name, {1: max(low, 0)})
            if not table.is_stored(name) or name in table.fixed:
                with pytest.raises(ValueError, match="may be stored"):
                    bus.store(1, name, max(low, 0))
        with pytest.raises(ValueError, match="torque_enable"):
            bus.sync_write("torque_enable", {1: 128})  # a Feetech servo stores its middle at that
        assert bus.ping(1) == 0
        assert virtual.writes == ()
        assert bus.store(2, "homing_offset", -5) == 0
    data = {"feetech": b"\x05\x08", "dynamixel": b"\xfb\xff\xff\xff"}[protocol]
    assert [w.data for w in virtual.writes] == [data]


def test_answers_from_before_are_thrown_away(virtual: VirtualBus, protocol: str) -> None:
    """A late answer waits in the buffer; it must not pass for the answer to the next question."""
    offset = {"feetech": (31, (100).to_bytes(2, "little")), "dynamixel": (20, b"\x9c\xff\xff\xff")}
    with connected(virtual, protocol) as bus:
        codec = CODECS[protocol]
        address, size = codec.TABLE.block("present_position", "present_position")
        late = os.open(virtual.port, os.O_RDWR | os.O_NOCTTY)  # somebody asked before
        os.write(late, codec.sync_read([1], address, size))
        while bus._port._serial.in_waiting < codec.STATUS_BYTES + size:
            pass
        os.close(late)
        at, data = offset[protocol]  # the present position is 100 less now
        virtual.registers(1)[at : at + len(data)] = data
        answers = bus.sync_read([1], "present_position", "present_position")
    assert answers.values == {1: {"present_position": 1900}}


def test_noise_before_an_answer_is_skipped() -> None:
    """Half a packet, noise, then the answer: found as soon as it is complete."""
    master, device = os.openpty()
    tty.setraw(device)
    try:
        with closing(Bus(feetech, os.ttyname(device), 1_000_000, 60.0)) as bus:
            noise = bytes.fromhex("A5 FF FF 01 04 00 FF")
            status = bytes.fromhex("FF FF 01 04 00 18 05 DD")
            bus._port._serial.reset_input_buffer = lambda: os.write(master, noise + status)  # type: ignore[method-assign]
            answers = bus.sync_read([1], "present_position", "present_position")
        assert answers.values == {1: {"present_position": 0x0518}}
    finally:
        os.close(master)
        os.close(device)


def test_a_transaction_waits_as_long_as_its_bytes_take(protocol: str) -> None:
    """The time that six full answers take, by the count of their bytes, and six pauses."""
    with VirtualBus(START, 57_600, protocol=protocol) as virtual:
        with closing(Bus(CODECS[protocol], virtual.port, 57_600, 0.5)) as bus:
            assert not bus.sync_read(tuple(START), "torque_enable", "present_temperature").silent
            overhead = {"feetech": (8, 6), "dynamixel": (14, 11)}[protocol]
            expected = (overhead[0] + 6 + 6 * (overhead[1] + 15)) * 10 / 57_600 + 6 * 0.508e-3
            assert bus.wire_s(6, 15) == pytest.approx(expected, rel=0.02)
