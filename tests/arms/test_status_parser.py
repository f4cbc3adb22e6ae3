"""The status parsers find what a plain search of the whole stream finds, however bytes arrive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.runtime.arms import dynamixel, feetech
from dreamvla_edge.runtime.arms.status import Status
from servo_frames import FRAMINGS, Framing, crc16

SIZE = 2


def parse(framing: Framing, stream: bytes, data_size: int, cuts: list[int]) -> list[Status]:
    """Feeds the stream in pieces that end at the cuts."""
    parser, found, start = framing.scanner(data_size), [], 0
    for cut in [*sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]:
        found += parser.feed(stream[start:cut])
        start = cut
    return found


@pytest.fixture(params=sorted(FRAMINGS))
def framing(request: pytest.FixtureRequest) -> Framing:
    """Each protocol in turn."""
    return FRAMINGS[request.param]


framings = st.sampled_from(sorted(FRAMINGS)).map(FRAMINGS.__getitem__)
# Bytes that make up headers, lengths and ids far oftener than chance would.
_TRICKY = [0xFF, 0xFF, 0xFD, 0x00, 0x01, 0x04, 0x06, 0x55, 0xFE, 0x7F, 0x80, 0x20]
tricky = st.lists(st.sampled_from(_TRICKY)).map(bytes)
garbage = st.one_of(st.binary(max_size=40), tricky)
sizes = st.sampled_from([0, 1, 2, 6, 15, 40])
cuts = st.lists(st.integers(0, 10_000), max_size=12)


@st.composite
def statuses(draw: st.DrawFn, framing: Framing, size: int) -> Status:
    """Any answer with so many data bytes."""
    data = draw(
        st.binary(min_size=size, max_size=size)
        | st.lists(st.sampled_from(_TRICKY), min_size=size, max_size=size).map(bytes)
    )
    return Status(draw(st.integers(0, 253)), draw(st.sampled_from(framing.errors)), data)


def test_the_crc_of_the_frames_here_is_the_published_one() -> None:
    """CRC-16/BUYPASS, alias UMTS: check value FEE8."""
    assert crc16(b"123456789") == 0xFEE8


@given(st.data(), framings, sizes, cuts)
def test_any_stream_in_any_pieces(
    data: st.DataObject, framing: Framing, size: int, cuts: list[int]
) -> None:
    """Nothing crashes, and the pieces make no difference."""
    parts = data.draw(st.lists(garbage | statuses(framing, size).map(framing.frame)))
    stream = b"".join(parts)
    assert parse(framing, stream, size, cuts) == framing.search(stream, size)


@given(st.data(), framings, sizes, cuts)
def test_no_packet_is_lost_in_garbage(
    data: st.DataObject, framing: Framing, size: int, cuts: list[int]
) -> None:
    """Garbage without a header byte takes nothing with it: every packet is found, in order."""
    parts = data.draw(st.lists(st.tuples(st.binary(max_size=20), statuses(framing, size))))
    stream = b"".join(
        noise.replace(b"\xff", b"\xfe") + framing.frame(status) for noise, status in parts
    )
    assert parse(framing, stream, size, cuts) == [status for _, status in parts]


@pytest.mark.parametrize("length", range(1, 13))
def test_a_cut_packet_does_not_take_the_next_one_along(framing: Framing, length: int) -> None:
    """A reply that breaks off looks like a beginning until its checksum fails."""
    cut = framing.frame(Status(1, 0, b"\x34\x12"))[:length]
    status = Status(2, 0, b"\x00\x08")
    if len(cut) == length:  # a Feetech packet has eight bytes
        assert parse(framing, cut + framing.frame(status), SIZE, [])[-1] == status


@given(st.data(), framings, st.integers(2, 100), st.integers(0, 7))
def test_a_flipped_bit_is_noticed(data: st.DataObject, framing: Framing, at: int, bit: int) -> None:
    """One damaged byte behind the header never gives a status."""
    status = data.draw(statuses(framing, SIZE))
    damaged = bytearray(framing.frame(status))
    damaged[2 + (at - 2) % (len(damaged) - 2)] ^= 1 << bit
    assert parse(framing, bytes(damaged), SIZE, []) == []
    assert framing.search(bytes(damaged), SIZE) == []


def test_a_packet_is_given_as_soon_as_it_is_complete(framing: Framing) -> None:
    """The bus must not wait for its deadline when all is well."""
    status = Status(3, 0, b"\xff\xff")
    data = framing.frame(status)
    parser = framing.scanner(SIZE)
    given = [parser.feed(data[i : i + 1]) for i in range(len(data))]
    assert given == [[]] * (len(data) - 1) + [[status]]


@pytest.mark.parametrize(
    ("protocol", "false"),
    [
        *(("feetech", f) for f in ("FF", "FF FF", "FF FF 01", "FF FF 01 04", "FF FF 01 04 00 FF")),
        ("dynamixel", "FF FF FD 00"),
        ("dynamixel", "FF FF FD 00 01 39 00 55 00"),  # the longest that 40 bytes can become
        ("dynamixel", "FF FF FD 00 01 39 00 55 00 FF FF FD"),
    ],
)
def test_a_false_beginning_does_not_delay_the_answer(protocol: str, false: str) -> None:
    """The packet behind it is given with its own last byte, whatever length the false one says."""
    framing, size = FRAMINGS[protocol], 40
    status = Status(2, 0, bytes(range(size)))
    parser = framing.scanner(size)
    assert parser.feed(bytes.fromhex(false) + framing.frame(status)[:-1]) == []
    assert parser.feed(framing.frame(status)[-1:]) == [status]


@pytest.mark.parametrize(
    "body",
    [
        [0xFE, 4, 0, 1, 2],  # nobody answers as 254
        [0xFF, 4, 0, 1, 2],
        [1, 5, 0, 1, 2],  # says that it is longer than it is
        [1, 2, 0, 1, 2],
        [1, 4, 0x80, 1, 2],  # an instruction, or no fault byte
        [1, 4, 0xFF, 1, 2],
    ],
)
def test_a_right_checksum_alone_makes_no_feetech_status(body: list[int]) -> None:
    """Id, length and error byte have their ranges."""
    parser = feetech.StatusParser(2)
    assert parser.feed(bytes([0xFF, 0xFF, *body, 255 - sum(body) % 256]) + bytes(8)) == []


@pytest.mark.parametrize(
    "body",
    [
        "FE 06 00 55 00 01 02",  # nobody answers as 254
        "01 07 00 55 00 01 02",  # says that it is longer than it is
        "01 05 00 55 00 01 02",
        "01 06 00 02 00 01 02",  # an instruction
        "01 06 00 55 08 01 02",  # no error number
        "01 06 01 55 00 01 02",
        "01 08 00 55 00 01 FF FF FD",  # FF FF FD that is not stuffed
    ],
)
def test_a_right_crc_alone_makes_no_dynamixel_status(body: str) -> None:
    """Id, length, instruction, error byte and stuffing have their rules."""
    packet = bytes.fromhex("FF FF FD 00" + body)
    packet += crc16(packet).to_bytes(2, "little")
    for size in (2, 3, 4):
        assert dynamixel.StatusParser(size).feed(packet + bytes(8)) == []


def test_an_answer_to_another_question_is_no_answer(framing: Framing) -> None:
    """A late reply of two bytes is skipped when one byte was asked for."""
    parser = framing.scanner(1)
    late, expected = Status(1, 0, b"\x00\x08"), Status(1, 0, b"\x07")
    assert parser.feed(framing.frame(late) + framing.frame(expected)) == [expected]
