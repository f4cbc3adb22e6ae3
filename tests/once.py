"""What takes long to make and is only read: made once for all processes of a test run."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

SHARED = "DREAMVLA_TEST_SHARED"
"""Environment variable: a folder of this run that all of its processes share."""


def once(name: str, fill: Callable[[Path], object]) -> Path:
    """A folder of that name, which `fill` has filled for whoever asked first."""
    place = Path(os.environ[SHARED]) / name
    place.parent.mkdir(parents=True, exist_ok=True)
    filled = place.with_name(f"{place.name}.filled")
    with alone(place):
        if not filled.exists():
            shutil.rmtree(place, ignore_errors=True)  # of one who failed
            place.mkdir()
            fill(place)
            filled.touch()
    return place


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Nobody else makes this while we look whether it is there and make it."""
    with open(f"{path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
