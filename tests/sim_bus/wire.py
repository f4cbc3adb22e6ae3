"""Packets of both protocols for tests, written down a third time, and a raw serial client."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import serial

PATIENT_S = 5.0  # a loaded test machine is no reason to fail


def feetech(servo: int, instruction: int, parameters: bytes = b"") -> bytes:
    """A Feetech instruction."""
    body = bytes([servo, len(parameters) + 2, instruction]) + parameters
    return b"\xff\xff" + body + bytes([~sum(body) & 0xFF])


def crc(data: bytes) -> int:
    """CRC-16/BUYPASS by polynomial division of the whole message as one number."""
    value, divisor = int.from_bytes(data, "big") << 16, 0x18005
    while (shift := value.bit_length() - 17) >= 0:
        value ^= divisor << shift
    return value


def dynamixel(servo: int, instruction: int, parameters: bytes = b"") -> bytes:
    """A Dynamixel instruction."""
    body = (bytes([instruction]) + parameters).replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd")
    packet = b"\xff\xff\xfd\x00" + bytes([servo]) + (len(body) + 2).to_bytes(2, "little") + body
    return packet + crc(packet).to_bytes(2, "little")


class Client:
    """Asks and waits; decodes nothing."""

    def __init__(self, port: str) -> None:
        self.serial = serial.Serial(port, 1_000_000, timeout=PATIENT_S)

    def ask(self, request: bytes, size: int) -> bytes:
        """Sends bytes and waits for `size` bytes."""
        self.serial.reset_input_buffer()
        self.serial.write(request)
        return self.serial.read(size)

    def hear(self, request: bytes, quiet_s: float = 0.15, first_s: float | None = None) -> bytes:
        """Sends bytes; everything that comes until it has been quiet for a while.

        first_s: how long to wait for the first byte, if not as long.
        """
        self.serial.reset_input_buffer()
        self.serial.write(request)
        heard, end = b"", time.monotonic() + (quiet_s if first_s is None else first_s)
        while time.monotonic() < end:
            if new := self.serial.read(self.serial.in_waiting):
                heard, end = heard + new, time.monotonic() + quiet_s
            time.sleep(0.002)
        return heard


@contextmanager
def client(port: str) -> Iterator[Client]:
    """A client on a port."""
    opened = Client(port)
    try:
        yield opened
    finally:
        opened.serial.close()
