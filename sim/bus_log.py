"""The log of a virtual bus: what its wire carried and its motors did. Format: `bus_process`."""

from __future__ import annotations

import json
import math
import os
import queue
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from dreamvla_edge.sim.servo import STEPS_PER_TURN

_RADIANS = 2 * math.pi / STEPS_PER_TURN


class BusLog:
    """Writes lines in the order of their stamps, in a thread: no servo waits for a disk.

    Raises OSError if the file cannot be opened, or when the next line comes after it could not be
    written.
    """

    def __init__(self, path: Path, arm: str, protocol: str, baud: int, servos: list[int]) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o644)
        self._lock, self._last_ns = threading.Lock(), 0
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._write, name="bus-log", daemon=True)
        self._thread.start()
        start = {"format": 1, "arm": arm, "protocol": protocol, "baud": baud, "servos": servos}
        self._line("start", json.dumps(start))

    def __enter__(self) -> BusLog:
        """Is open since it was made."""
        return self

    def __exit__(self, *_: object) -> None:
        """Writes what waits and closes the file."""
        self._lines.put(None)
        self._thread.join()
        os.close(self._file)

    def received(self, data: bytes) -> None:
        """Bytes from the host."""
        self._line("rx", f'"{data.hex()}"')

    def sent(self, data: bytes) -> None:
        """Bytes to the host."""
        self._line("tx", f'"{data.hex()}"')

    def motion(self, ns: int, motors: Mapping[int, tuple[float, float]]) -> None:
        """Servo id -> position [step] and speed [step/s], as they were at ns."""
        parts = (
            f'"{servo}": [{position * _RADIANS:.6f}, {speed * _RADIANS:.6f}]'
            for servo, (position, speed) in motors.items()
        )
        self._line("motion", "{" + ", ".join(parts) + "}", ns)

    def event(self, command: str) -> None:
        """A command that was carried out."""
        self._line("event", json.dumps(command))

    def _line(self, key: str, value: str, ns: int | None = None) -> None:
        with self._lock:
            self._last_ns = max(self._last_ns, time.monotonic_ns() if ns is None else ns)
            if self._error is not None:
                raise self._error
            self._lines.put(f'{{"ns": {self._last_ns}, "{key}": {value}}}\n'.encode())

    def _write(self) -> None:
        while (line := self._lines.get()) is not None:
            try:
                os.write(self._file, line)
            except OSError as error:
                self._error = error
                return
