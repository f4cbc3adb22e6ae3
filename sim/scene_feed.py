"""Where everything in a scene is right now, for other processes: a file that they map.

One process writes, any number read, nobody waits. A reading that was written over meanwhile is
told by its checksum and read again.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.errors import ObservationError

_MAGIC = b"DVLASCN1"
_HEAD = struct.Struct("<8s16sQI")  # magic, family, seed, length of qpos
_BODY = struct.Struct("<Id")  # crc32 of what follows, monotonic time [s]
_RETRIES, _PAUSE_S = 100, 0.0002


class Now(NamedTuple):
    """A moment: monotonic time [s], and where everything is, as `Scene.show` takes it."""

    stamp_s: float
    qpos: NDArray[np.float64]


class SceneWriter:
    """Makes the file of a scene in which a family's task of a seed can be done."""

    def __init__(self, path: Path, family: str, seed: int, length: int) -> None:
        size = _HEAD.size + _BODY.size + 8 * length
        partial = path.with_name(f".{path.name}.partial")
        head = _HEAD.pack(_MAGIC, family.encode(), seed, length)
        partial.write_bytes(head.ljust(size, b"\0"))
        with partial.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), size)
        os.replace(partial, path)

    def write(self, now: Now) -> None:
        """Tells everybody."""
        body = struct.pack("<d", now.stamp_s) + now.qpos.tobytes()
        self._map[_HEAD.size :] = struct.pack("<I", zlib.crc32(body)) + body

    def close(self) -> None:
        """Lets go; the file stays for those who read it."""
        self._map.close()


class SceneReader:
    """Reads it; family and seed say which layout it is. Raises ObservationError if it is none."""

    def __init__(self, path: Path) -> None:
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            magic, family, self.seed, length = _HEAD.unpack_from(self._map)
            if magic != _MAGIC or len(self._map) != _HEAD.size + _BODY.size + 8 * length:
                raise ValueError("it holds something else")
        except (OSError, ValueError, struct.error) as error:
            raise ObservationError(
                f"{path} cannot be read as a scene ({error})",
                "the feed of a scene that runs",
                "start one: python -m dreamvla_edge.sim.bus_process --help",
            ) from error
        self.family = family.rstrip(b"\0").decode()
        self._path = path

    def read(self) -> Now:
        """The newest moment. Raises ObservationError if nothing was ever written."""
        for _ in range(_RETRIES):
            data = self._map[_HEAD.size :]
            crc, stamp_s = _BODY.unpack_from(data)
            if stamp_s and crc == zlib.crc32(data[4:]):
                return Now(stamp_s, np.frombuffer(data, "<f8", offset=_BODY.size).copy())
            time.sleep(_PAUSE_S)
        raise ObservationError(
            f"{self._path} says nothing", "a scene that runs", "start it before its cameras"
        )

    def close(self) -> None:
        """Lets go."""
        self._map.close()
