"""The virtual bus, seen from the other end of its serial device."""

from __future__ import annotations

import os
import time

import pytest
import serial
from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.sim.feetech_bus import take_instructions
from dreamvla_edge.sim.virtual_bus import VirtualBus


def frame(servo: int, instruction: int, parameters: bytes) -> bytes:
    """An instruction on the wire."""
    body = bytes([servo, len(parameters) + 2, instruction]) + parameters
    return b"\xff\xff" + body + bytes([~sum(body) & 0xFF])


def ask(bus: VirtualBus, request: bytes, size: int) -> bytes:
    """Sends bytes and reads `size` bytes back, or what comes within 0.2 s if size is 0."""
    with serial.Serial(bus.port, 1_000_000, timeout=5.0 if size else 0.2) as port:
        port.write(request)
        return port.read(size or 1)


PING = bytes.fromhex("FFFF010201FB")
PONG = bytes.fromhex("FFFF010200FC")


def test_it_answers_as_the_protocol_says(virtual_bus: VirtualBus) -> None:
    """PING, READ of the model (777), and SYNC_READ of two positions (1900, 2000) in order."""
    assert ask(virtual_bus, PING, 6) == PONG
    assert ask(virtual_bus, bytes.fromhex("FFFF0104020302F3"), 8) == bytes.fromhex(
        "FFFF0104000903EE"
    )
    assert ask(virtual_bus, frame(0xFE, 0x82, b"\x38\x02\x02\x01"), 16) == bytes.fromhex(
        "FFFF0204006C0786FFFF010400D00723"
    )


def test_everybody_answers_a_broadcast_ping(virtual_bus: VirtualBus) -> None:
    """Six answers of six bytes."""
    answers = ask(virtual_bus, bytes.fromhex("FFFFFE0201FE"), 36)
    assert [answers[i + 2] for i in range(0, 36, 6)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    "request_",
    [
        "FFFF010201FC",  # wrong checksum
        "FFFF090201F3",  # nobody is 9
        "FFFFFE0A832A0201000802E80352",  # SYNC_WRITE
        "FFFF010206F6",  # RESET is not understood
        "FFFF010001FD",  # impossible length
    ],
)
def test_silence(virtual_bus: VirtualBus, request_: str) -> None:
    """Nothing answers, and the next question is answered."""
    assert ask(virtual_bus, bytes.fromhex(request_), 0) == b""
    assert ask(virtual_bus, PING, 6) == PONG


def test_a_write_is_acknowledged_unless_the_servo_was_told_not_to(virtual_bus: VirtualBus) -> None:
    """Status level 0 (register 8): answers to READ and PING only."""
    assert ask(virtual_bus, frame(1, 3, b"\x28\x01"), 6) == PONG
    virtual_bus.registers(1)[8] = 0
    assert ask(virtual_bus, frame(1, 3, b"\x28\x00"), 0) == b""
    assert ask(virtual_bus, frame(1, 2, b"\x28\x01"), 7) == bytes.fromhex("FFFF01030000FB")


def test_a_write_that_waits(virtual_bus: VirtualBus) -> None:
    """REG_WRITE is acknowledged, ACTION for everybody is not; twice does it once."""
    for servo in (1, 2):
        assert ask(virtual_bus, frame(servo, 4, b"\x28\x01"), 6)[2] == servo
    assert virtual_bus.writes == ()
    for _ in range(2):
        assert ask(virtual_bus, frame(0xFE, 5, b""), 0) == b""
    assert [(w.servo, w.address, w.data) for w in virtual_bus.writes] == [
        (1, 40, b"\x01"),
        (2, 40, b"\x01"),
    ]


def test_what_was_written_is_logged(virtual_bus: VirtualBus) -> None:
    """Time, id, register and bytes of WRITE and SYNC_WRITE."""
    before = time.monotonic()
    ask(virtual_bus, bytes.fromhex("FFFFFE0A832A0201000802E80352"), 0)
    ask(virtual_bus, bytes.fromhex("FFFF0104032801CE"), 6)
    first, second, third = virtual_bus.writes
    assert (first.servo, first.address, first.data) == (1, 42, b"\x00\x08")
    assert (second.servo, second.address, second.data) == (2, 42, b"\xe8\x03")
    assert (third.servo, third.address, third.data) == (1, 40, b"\x01")
    assert before < first.stamp_s <= second.stamp_s <= third.stamp_s < time.monotonic()


@pytest.mark.parametrize(("baud", "delay"), [(115_200, 0), (1_000_000, 250)])
def test_answers_take_their_time_on_the_wire(baud: int, delay: int) -> None:
    """At least 10 bits per byte and the return delay of every servo; noise only adds to it."""
    ids = range(1, 7)
    request = frame(0xFE, 0x82, bytes([56, 2, *ids]))
    with VirtualBus(dict.fromkeys(ids, 2048), baud) as bus:
        for servo in ids:
            bus.registers(servo)[7] = delay
        with serial.Serial(bus.port, baud, timeout=5.0) as port:
            start = time.monotonic()
            for _ in range(20):
                port.write(request)
                assert len(port.read(48)) == 48
            took = time.monotonic() - start
    assert took >= 20 * ((len(request) + 48) * 10 / baud + 6 * delay * 2e-6)


def test_a_servo_needs_time_to_turn(virtual_bus: VirtualBus) -> None:
    """2000 steps take more than 0.6 s at 46 rpm; after that the servo is there."""
    ask(virtual_bus, bytes.fromhex("FFFF0104032801CE"), 6)
    start = time.monotonic()
    ask(virtual_bus, bytes.fromhex("FFFF0105032AA00F1D"), 6)  # goal 4000, from 2000
    seen = virtual_bus.position(1)
    assert seen < 2000 + 3141 * (time.monotonic() - start) + 1
    while virtual_bus.position(1) != 4000:
        assert time.monotonic() - start < 60
        time.sleep(0.02)
    assert time.monotonic() - start > 0.6


def test_a_host_that_never_reads_does_not_stop_the_bus(virtual_bus: VirtualBus) -> None:
    """Answers beyond the terminal's buffer are lost, as on a wire; closing still works."""
    port = os.open(virtual_bus.port, os.O_RDWR | os.O_NOCTTY)
    for _ in range(400):
        os.write(port, frame(1, 2, b"\x00\xfa"))
    os.write(port, frame(1, 3, b"\x28\x01"))
    start = time.monotonic()
    while not virtual_bus.writes:
        assert time.monotonic() - start < 60
        time.sleep(0.02)
    os.close(port)
    virtual_bus.close()


packets = st.tuples(
    st.integers(0, 254),
    st.integers(1, 255),
    st.one_of(st.binary(max_size=20), st.just(b"\xff" * 4)),
)


@given(st.lists(packets), st.lists(st.integers(1, 30)))
def test_instructions_are_found_in_any_pieces(
    sent: list[tuple[int, int, bytes]], sizes: list[int]
) -> None:
    """A host may write a packet in several calls, or several packets in one."""
    stream, received, found = b"".join(frame(*packet) for packet in sent), bytearray(), []
    for size in [*sizes, len(stream)]:
        received += stream[:size]
        stream = stream[size:]
        found += take_instructions(received)
    assert found == sent


@given(st.binary(max_size=300))
def test_garbage_on_the_bus_is_survived(garbage: bytes) -> None:
    """And what is kept back is never more than one packet."""
    received = bytearray(garbage)
    list(take_instructions(received))
    assert len(received) < 4 + 255
