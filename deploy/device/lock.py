"""One flash of a robot at a time."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from pathlib import Path

from .refusal import Refusal

_PATIENT_S = 60.0


def lock(path: Path, progress: Callable[[str], None]) -> int:
    """Locks a file until the process and all that inherited the descriptor have ended.

    So what a killed flash left running is waited for. Raises Refusal when it takes too long.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    deadline, told = time.monotonic() + _PATIENT_S, False
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not told:
                progress("waiting for another flash of this robot")
                told = True
            if time.monotonic() < deadline:
                time.sleep(0.1)
                continue
            holder = os.pread(fd, 20, 0).decode(errors="replace").strip()
            raise Refusal(
                f"another flash of this robot is at work (process {holder or 'unknown'})",
                "one at a time",
                "wait until it has ended, or end that process on the device",
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
        os.set_inheritable(fd, False)
        return fd
