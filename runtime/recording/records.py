"""A file of records that can be cut anywhere: what is whole before the cut can be read.

One record is its length (uint32), the CRC-32 of its bytes (uint32), both little-endian, and the
bytes. Nothing here knows what they mean.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

_HEAD = struct.Struct("<II")
MAX_BYTES = 1 << 28
"""Longest record; a greater length is damage, not data."""


@dataclass(frozen=True)
class Records:
    """Where the records of a file are: (start, end) of each one's bytes.

    lost_bytes: behind the last whole record, 0 if the file ends with it.
    """

    path: Path
    places: tuple[tuple[int, int], ...]
    lost_bytes: int

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> bytes:
        start, end = self.places[index]
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(end - start)

    def heads(self) -> list[bytes]:
        """The first eight bytes of every record, or all of it if it is shorter."""
        if not self.places:
            return []
        with self.path.open("rb") as file:
            return [
                file.read(min(8, end - start))
                for start, end in self.places
                if file.seek(start) == start
            ]


def packed(data: bytes) -> bytes:
    """The record that holds these bytes."""
    return _HEAD.pack(len(data), zlib.crc32(data)) + data


def find(path: Path) -> Records:
    """The records of a file, up to the first that is cut or damaged; none if there is no file."""
    places = []
    size = path.stat().st_size if path.is_file() else 0
    end = 0
    if size:
        with path.open("rb") as file:
            while len(head := file.read(_HEAD.size)) == _HEAD.size:
                length, crc = _HEAD.unpack(head)
                data = file.read(length) if length <= MAX_BYTES else b""
                if len(data) < length or zlib.crc32(data) != crc:
                    break
                start = end + _HEAD.size
                end = start + length
                places.append((start, end))
    return Records(path, tuple(places), size - end)
