"""What one servo answers, and how answers are found in a stream of bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

HIGHEST_ID = 0xFD


class Status(NamedTuple):
    """One answer: the servo's id, its error byte (0 = no fault) and the data asked for."""

    servo: int
    error: int
    data: bytes


class StatusScanner(ABC):
    """Finds the status packets with a given number of data bytes in a stream of bytes.

    Every byte is tried as the beginning of a packet, so garbage, cut packets and answers to
    another question (of another length) cost nothing but themselves. Only a packet that overlaps
    an earlier stretch of bytes that passes every check, checksum included, can be missed.
    """

    def __init__(self, longest: int) -> None:
        """longest: bytes of the longest packet on the wire."""
        self._longest = longest
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Status]:
        """The packets that these bytes complete."""
        self._buffer += data
        found: list[Status] = []
        start, unfinished = 0, None
        while (start := self._buffer.find(0xFF, start)) >= 0:
            status, size = self._take(bytes(self._buffer[start : start + self._longest]))
            if status is not None:
                found.append(status)
                unfinished = None
            elif size == 0 and unfinished is None:
                unfinished = start
            # What only looks like a beginning must not delay a packet behind it.
            start += max(size, 1)
        del self._buffer[: len(self._buffer) if unfinished is None else unfinished]
        return found

    @abstractmethod
    def _take(self, candidate: bytes) -> tuple[Status | None, int]:
        """The packet that these bytes begin with, and how many bytes are done with.

        None and 1 if no packet begins here; None and 0 if that takes more bytes to see.
        """
