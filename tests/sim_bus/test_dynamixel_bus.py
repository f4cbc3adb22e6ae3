"""Packets of Dynamixel servos, and a virtual bus of them behind a serial device."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.sim.dynamixel_bus import crc16, status_packet, take_instructions
from dreamvla_edge.sim.dynamixel_servo import DynamixelServo
from dreamvla_edge.sim.protocol import Answer
from dreamvla_edge.sim.virtual_bus import VirtualBus
from sim_bus.wire import Client, client, crc, dynamixel

BROADCAST = 0xFE


@pytest.fixture
def bus() -> Iterator[VirtualBus]:
    """An XL430 and two XL330."""
    with VirtualBus({1: 2000, 2: 1900, 3: 2200}, protocol="dynamixel", models={1: 1060}) as bus:
        yield bus


@pytest.fixture
def host(bus: VirtualBus) -> Iterator[Client]:
    """A raw client on that bus."""
    with client(bus.port) as host:
        yield host


@given(st.binary(max_size=60))
def test_the_crc_is_polynomial_division(data: bytes) -> None:
    """Of the message as one number."""
    assert crc16(data) == crc(data)


def test_packets_of_the_manual() -> None:
    """Instructions and a status that ROBOTIS prints as examples."""
    for text, expected in (
        ("FFFFFD00010300 01 194E", (1, 1, b"")),
        ("FFFFFD00010700 02 84000400 1D15", (1, 2, b"\x84\0\x04\0")),
        ("FFFFFD00010900 03 740000020000 CA89", (1, 3, b"\x74\0\0\x02\0\0")),
        ("FFFFFD00010300 08 2F4E", (1, 8, b"")),
    ):
        packet = bytes.fromhex(text)
        assert list(take_instructions(bytearray(packet))) == [expected]
        assert dynamixel(*expected) == packet
    servo = DynamixelServo(1, 2048, 0.0)
    assert status_packet(Answer(servo, 1, 0, b"\x06\x04\x26")).hex() == (
        "fffffd000107005500060426655d"
    )
    assert status_packet(Answer(servo, 1, 0, b"")).hex() == "fffffd000104005500a10c"


packets = st.tuples(
    st.integers(0, 254),
    st.integers(1, 255).filter(lambda code: code != 0x55),
    st.one_of(st.binary(max_size=20), st.just(b"\xff\xff\xfd\xfd\xff\xff\xfd\x00\xff")),
)


@given(st.lists(packets), st.lists(st.integers(1, 30)))
def test_instructions_are_found_in_any_pieces(
    sent: list[tuple[int, int, bytes]], sizes: list[int]
) -> None:
    """A host may write a packet in several calls, or several packets in one."""
    stream, received, found = b"".join(dynamixel(*packet) for packet in sent), bytearray(), []
    for size in [*sizes, len(stream)]:
        received += stream[:size]
        stream = stream[size:]
        found += take_instructions(received)
    assert found == sent


@given(st.binary(max_size=300), packets)
def test_garbage_is_survived(garbage: bytes, packet: tuple[int, int, bytes]) -> None:
    """What is kept back is bounded, and a later packet is found unless the garbage begins one."""
    received = bytearray(garbage)
    list(take_instructions(received))
    assert len(received) < 1024 + 7
    if b"\xff\xff\xfd\x00" not in garbage + b"\xff\xff\xfd":
        received += dynamixel(*packet)
        assert list(take_instructions(received))[-1:] == [packet]


def test_ping_read_and_write(host: Client, bus: VirtualBus) -> None:
    """Model and firmware, one position, a goal with acknowledgement, and the alert bit."""
    assert host.ask(dynamixel(1, 1), 14)[8:12] == b"\0" + (1060).to_bytes(2, "little") + b"\x2d"
    pings = host.ask(dynamixel(BROADCAST, 1), 42)
    assert [pings[at + 4] for at in (0, 14, 28)] == [1, 2, 3]
    assert host.ask(dynamixel(3, 2, b"\x84\0\x04\0"), 15)[8:13] == b"\0\x98\x08\0\0"
    bus.registers(2)[70] = 4
    assert host.ask(dynamixel(2, 3, b"\x74\0\x64\x07\0\0"), 11)[8] == 0x80
    assert [(w.servo, w.address, w.data) for w in bus.writes] == [(2, 116, b"\x64\x07\0\0")]


def test_many_at_once(host: Client, bus: VirtualBus) -> None:
    """SYNC and BULK, in the order in which servos were named."""
    answers = host.ask(dynamixel(BROADCAST, 0x82, b"\x84\0\x04\0\x03\x01"), 30)
    assert [(answers[at + 4], answers[at + 9]) for at in (0, 15)] == [(3, 0x98), (1, 0xD0)]
    answers = host.ask(dynamixel(BROADCAST, 0x92, b"\x02\0\0\x02\0\x01\x84\0\x04\0"), 13 + 15)
    assert answers[4:11] + answers[13 + 4 : 13 + 5] == b"\x02\x06\0\x55\0\xb0\x04\x01"
    host.hear(dynamixel(BROADCAST, 0x83, b"\x74\0\x04\0\x01\x01\x08\0\0\x03\x02\x08\0\0"))
    host.hear(dynamixel(BROADCAST, 0x93, b"\x02\x41\0\x01\0\x01\x01\x74\0\x04\0\x05\x08\0\0"))
    assert [(w.servo, w.address, w.data) for w in bus.writes] == [
        (1, 116, b"\x01\x08\0\0"),
        (3, 116, b"\x02\x08\0\0"),
        (2, 65, b"\x01"),
        (1, 116, b"\x05\x08\0\0"),
    ]


def test_a_write_that_waits(host: Client, bus: VirtualBus) -> None:
    """REG_WRITE, then ACTION for everybody, which nobody answers."""
    for servo in (1, 2):
        assert host.ask(dynamixel(servo, 4, b"\x41\0\x01"), 11)[8] == 0
    assert bus.writes == ()
    assert host.hear(dynamixel(BROADCAST, 5)) == b""
    assert [(w.servo, w.address) for w in bus.writes] == [(1, 65), (2, 65)]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (dynamixel(1, 0x77), 2),
        (dynamixel(1, 2, b"\x90\0\xff\0"), 4),
        (dynamixel(1, 3, b"\x40\0\x02"), 4),
        (dynamixel(1, 3, b"\x74\0\0\x20\0\0"), 6),
        (dynamixel(1, 3, b"\x84\0\0\0\0\0"), 7),
    ],
)
def test_refusals(host: Client, request_: bytes, error: int) -> None:
    """Each with its number, and nothing changes."""
    before = host.ask(dynamixel(1, 2, b"\0\0\x93\0"), 158)
    assert host.ask(request_, 11)[7:9] == bytes([0x55, error])
    assert host.ask(dynamixel(1, 2, b"\0\0\x93\0"), 158) == before


def test_silence(host: Client, bus: VirtualBus) -> None:
    """A wrong CRC, an unknown id, a status, and what the status level leaves out."""
    good = dynamixel(1, 1)
    for request in (good[:-1] + b"\0", dynamixel(9, 1), dynamixel(1, 0x55, b"\0")):
        assert host.hear(request) == b""
    bus.registers(1)[68] = 0
    assert host.hear(dynamixel(1, 2, b"\x84\0\x04\0")) == b""
    assert len(host.hear(good)) == 14
    bus.registers(1)[68] = 1
    assert host.hear(dynamixel(1, 3, b"\x41\0\x01")) == b""
    assert len(host.hear(dynamixel(1, 2, b"\x84\0\x04\0"))) == 15


def test_answers_are_stuffed(host: Client, bus: VirtualBus) -> None:
    """FF FF FD in data is followed by one more FD, which LEN counts."""
    bus.registers(1)[112:115] = b"\xff\xff\xfd"
    answer = host.ask(dynamixel(1, 2, b"\x70\0\x04\0"), 16)
    assert answer[5:7] + answer[9:14] == b"\x09\0\xff\xff\xfd\xfd\0"
    assert crc(answer[:-2]) == int.from_bytes(answer[-2:], "little")


def test_reboot(host: Client, bus: VirtualBus) -> None:
    """The EEPROM stays, torque goes."""
    host.ask(dynamixel(1, 3, b"\x0b\0\x04"), 11)
    host.ask(dynamixel(1, 3, b"\x40\0\x01"), 11)
    assert host.ask(dynamixel(1, 8), 11)[8] == 0
    assert (bus.registers(1)[11], bus.registers(1)[64]) == (4, 0)


def test_the_watchdog_hears_only_packets_for_its_servo(host: Client, bus: VirtualBus) -> None:
    """Reading the others does not keep it awake; being one of many does."""
    for servo in (1, 2):
        host.ask(dynamixel(servo, 3, b"\x40\0\x01"), 11)
        host.ask(dynamixel(servo, 3, b"\x62\0\x7f"), 11)
    for _ in range(60):
        host.hear(dynamixel(BROADCAST, 0x82, b"\x84\0\x04\0\x02\x03"), 0.05)
    assert [bus.registers(servo)[98] for servo in (1, 2)] == [255, 127]
    assert host.ask(dynamixel(1, 3, b"\x74\0\0\x08\0\0"), 11)[8] == 4
    assert host.ask(dynamixel(1, 3, b"\x62\0\0"), 11)[8] == 0
    assert host.ask(dynamixel(1, 3, b"\x74\0\0\x08\0\0"), 11)[8] == 0
