"""The status parser finds what a plain search of the whole stream finds, however bytes arrive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.runtime.arms.feetech import Status, StatusParser


def wire(status: Status) -> bytes:
    """The bytes of a status, spelled out here and not by the code under test."""
    body = [status.servo, len(status.data) + 2, status.error, *status.data]
    return bytes([0xFF, 0xFF, *body, 255 - sum(body) % 256])


def search(stream: bytes, data_size: int) -> list[Status]:
    """Leftmost packets of the whole stream: id up to 253, exact length, error up to 127, sum."""
    found, at, size = [], 0, data_size + 6
    while at + size <= len(stream):
        p = stream[at : at + size]
        fits = p[0] == p[1] == 0xFF and p[2] < 254 and p[3] == size - 4 and p[4] < 128
        if fits and sum(p[2:]) % 256 == 255:
            found.append(Status(p[2], p[4], p[5:-1]))
            at += size
        else:
            at += 1
    return found


def parse(stream: bytes, data_size: int, cuts: list[int]) -> list[Status]:
    """Feeds the stream in pieces that end at the cuts."""
    parser, found, start = StatusParser(data_size), [], 0
    for cut in [*sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]:
        found += parser.feed(stream[start:cut])
        start = cut
    return found


# Bytes that make up headers, lengths and ids far oftener than chance would.
tricky = st.lists(st.sampled_from([0xFF, 0xFF, 0x01, 0x04, 0x00, 0xFE, 0x7F, 0x80, 0x20])).map(
    bytes
)
garbage = st.one_of(st.binary(max_size=40), tricky)
statuses = st.builds(
    Status,
    st.integers(0, 253),
    st.integers(0, 127),
    st.one_of(st.binary(min_size=2, max_size=2), st.sampled_from([b"\xff\xff", b"\xff\x01"])),
)
cuts = st.lists(st.integers(0, 10_000), max_size=12)


@given(st.lists(st.one_of(garbage, statuses.map(wire))), cuts)
def test_any_stream_in_any_pieces(parts: list[bytes], cuts: list[int]) -> None:
    """Nothing crashes, and the pieces make no difference."""
    stream = b"".join(parts)
    assert parse(stream, 2, cuts) == search(stream, 2)


@given(st.lists(st.tuples(st.binary(max_size=20), statuses)), cuts)
def test_no_packet_is_lost_in_garbage(parts: list[tuple[bytes, Status]], cuts: list[int]) -> None:
    """Garbage without a header byte takes nothing with it: every packet is found, in order."""
    stream = b"".join(noise.replace(b"\xff", b"\xfe") + wire(status) for noise, status in parts)
    assert parse(stream, 2, cuts) == [status for _, status in parts]


@pytest.mark.parametrize("length", range(1, 8))
def test_a_cut_packet_does_not_take_the_next_one_along(length: int) -> None:
    """A reply that breaks off looks like a beginning until its checksum fails."""
    cut, status = wire(Status(1, 0, b"\x34\x12"))[:length], Status(2, 0, b"\x00\x08")
    assert parse(cut + wire(status), 2, []) == [status]


@given(statuses, st.integers(2, 7), st.integers(0, 7))
def test_a_flipped_bit_is_noticed(status: Status, at: int, bit: int) -> None:
    """One damaged byte behind the header never gives a status."""
    damaged = bytearray(wire(status))
    damaged[at] ^= 1 << bit
    assert parse(bytes(damaged), 2, []) == search(bytes(damaged), 2) == []


def test_a_packet_is_given_as_soon_as_it_is_complete() -> None:
    """The bus must not wait for its deadline when all is well."""
    status = Status(3, 0, b"\xff\xff")
    data = wire(status)
    parser = StatusParser(2)
    assert [parser.feed(data[i : i + 1]) for i in range(len(data))] == [[]] * 7 + [[status]]


@pytest.mark.parametrize("false", ["FF", "FF FF", "FF FF 01", "FF FF 01 04", "FF FF 01 04 00 FF"])
def test_a_false_beginning_does_not_delay_the_answer(false: str) -> None:
    """The packet behind it is given with its own last byte."""
    status = Status(2, 0, b"\x00\x08")
    parser = StatusParser(2)
    assert parser.feed(bytes.fromhex(false) + wire(status)[:-1]) == []
    assert parser.feed(wire(status)[-1:]) == [status]


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
def test_a_right_checksum_alone_makes_no_status(body: list[int]) -> None:
    """Id, length and error byte have their ranges."""
    parser = StatusParser(2)
    assert parser.feed(bytes([0xFF, 0xFF, *body, 255 - sum(body) % 256]) + bytes(8)) == []


def test_an_answer_to_another_question_is_no_answer() -> None:
    """A late reply of two bytes is skipped when one byte was asked for."""
    parser = StatusParser(1)
    late, expected = Status(1, 0, b"\x00\x08"), Status(1, 0, b"\x07")
    assert parser.feed(wire(late) + wire(expected)) == [expected]
