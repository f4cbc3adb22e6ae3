"""Status packets of both protocols, made and searched for without the code under test."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from dreamvla_edge.runtime.arms import dynamixel, feetech
from dreamvla_edge.runtime.arms.status import Status, StatusScanner

_CRC_TABLE = []
for _byte in range(256):
    _crc = _byte << 8
    for _ in range(8):
        _crc = (_crc << 1 ^ 0x8005 if _crc & 0x8000 else _crc << 1) & 0xFFFF
    _CRC_TABLE.append(_crc)


def crc16(data: bytes) -> int:
    """CRC-16/BUYPASS (its check value, of "123456789", is FEE8)."""
    crc = 0
    for byte in data:
        crc = (crc << 8 & 0xFF00) ^ _CRC_TABLE[crc >> 8 ^ byte]
    return crc


def feetech_frame(status: Status) -> bytes:
    """FF FF, id, length, error, data, sum."""
    body = [status.servo, len(status.data) + 2, status.error, *status.data]
    return bytes([0xFF, 0xFF, *body, 255 - sum(body) % 256])


def feetech_at(stream: bytes, at: int, data_size: int) -> tuple[Status, int] | None:
    """The packet that begins at `at`: id up to 253, exact length, error up to 127, sum."""
    size = data_size + 6
    p = stream[at : at + size]
    if len(p) < size or p[0] != 0xFF or p[1] != 0xFF or p[2] > 253 or p[3] != size - 4:
        return None
    if p[4] > 127 or sum(p[2:]) % 256 != 255:
        return None
    return Status(p[2], p[4], p[5:-1]), size


def dynamixel_frame(status: Status) -> bytes:
    """FF FF FD 00, id, length, 55, error, stuffed data, CRC."""
    stuffed = bytearray()
    for byte in status.data:
        stuffed.append(byte)
        if stuffed[-3:] == b"\xff\xff\xfd":
            stuffed.append(0xFD)
    head = bytes([0xFF, 0xFF, 0xFD, 0, status.servo, (len(stuffed) + 4) % 256, len(stuffed) // 256])
    packet = head + bytes([0x55, status.error]) + stuffed
    return packet + crc16(packet).to_bytes(2, "little")


def dynamixel_at(stream: bytes, at: int, data_size: int) -> tuple[Status, int] | None:
    """The packet that begins at `at`: its data is so long, stuffed as it must be, CRC right."""
    if stream[at : at + 4] != b"\xff\xff\xfd\x00" or len(stream) < at + 11 + data_size:
        return None
    servo, length = stream[at + 4], stream[at + 5] + 256 * stream[at + 6]
    p = stream[at : at + 7 + length]
    too_long = length > data_size + data_size // 3 + 4
    if servo > 253 or length < data_size + 4 or too_long or len(p) < 7 + length or p[7] != 0x55:
        return None
    if p[8] % 128 > 7 or crc16(p[:-2]) != p[-2] + 256 * p[-1]:
        return None
    data, stuffed = bytearray(), p[9:-2]
    i = 0
    while i < len(stuffed):
        data.append(stuffed[i])
        if data[-3:] == b"\xff\xff\xfd":
            i += 1
            if i == len(stuffed) or stuffed[i] != 0xFD:
                return None
        i += 1
    return (Status(servo, p[8], bytes(data)), 7 + length) if len(data) == data_size else None


class Framing(NamedTuple):
    """What a protocol's packets are: made here, found here, and found by the code under test."""

    frame: Callable[[Status], bytes]
    at: Callable[[bytes, int, int], tuple[Status, int] | None]
    scanner: Callable[[int], StatusScanner]
    codec: object
    errors: tuple[int, ...]

    def search(self, stream: bytes, data_size: int) -> list[Status]:
        """The leftmost packets of the whole stream that do not overlap."""
        found, at = [], 0
        while (at := stream.find(b"\xff\xff", at)) >= 0:
            hit = self.at(stream, at, data_size)
            if hit is None:
                at += 1
            else:
                found.append(hit[0])
                at += hit[1]
        return found


FRAMINGS = {
    "feetech": Framing(
        feetech_frame, feetech_at, feetech.StatusParser, feetech, (0, 1, 0x20, 0x7F)
    ),
    "dynamixel": Framing(
        dynamixel_frame, dynamixel_at, dynamixel.StatusParser, dynamixel, (0, 0x80, 4, 0x87)
    ),
}
