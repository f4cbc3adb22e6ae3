"""The stages of the latest decisions in a file that another process may look into meanwhile.

`dreamvla profile --watch` looks into that of a running policy. All memory is made beforehand, and a
decision costs one write of 180 bytes to mapped memory: neither a system call nor a lock.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dreamvla_edge.runtime.errors import ProfileError

from .timeline import PREFILL

STAGES = (
    "policy",
    "capture",
    "preprocess",
    "vision",
    "prefill_wait",
    "embed",
    "step",
    "sampler",
    "kinematics",
    PREFILL,
)
"""What a row holds: stages of the policy's process, in the order of their columns."""
ROWS = 512
SUFFIX = ".stages"
_ROW = np.dtype([("number", "<u8"), ("sequence", "<u8"), ("times_s", "<f8", (len(STAGES), 2))])
_NEVER = (np.nan, np.nan)


class Noted(NamedTuple):
    """A decision: its number from 1, the sequence of its command, its spans [s]."""

    number: int
    sequence: int
    spans: dict[str, tuple[float, float]]


class StageRing:
    """The writer: makes the file, and takes it away when closed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.unlink(missing_ok=True)  # who looks into an old one goes on doing so
        # A plain array on the mapped memory: a memmap takes ten times as long for each access.
        rows = np.asarray(np.memmap(path, _ROW, "w+", shape=(ROWS,)))
        path.chmod(0o600)
        self._numbers, self._sequences = rows["number"], rows["sequence"]
        self._times_s = rows["times_s"]
        self._count = 0

    def note(self, sequence: int, spans: Mapping[str, tuple[float, float]]) -> None:
        """One more decision, in the place of the oldest; other spans than STAGES are left out."""
        row = self._count % ROWS
        self._count += 1
        self._numbers[row] = 0  # a reader leaves out what is being written
        self._sequences[row] = sequence
        self._times_s[row] = [spans.get(stage, _NEVER) for stage in STAGES]
        self._numbers[row] = self._count

    def close(self) -> None:
        """Takes the file away."""
        self._path.unlink(missing_ok=True)


def read_ring(path: Path) -> list[Noted]:
    """The decisions in a ring, oldest first. Raises ProfileError if there is none."""
    try:
        rows = np.memmap(path, _ROW, "r", shape=(ROWS,))
    except (OSError, ValueError) as error:
        raise ProfileError(
            f"no stages at {path} ({error})",
            "a policy that runs with this robot file, and is of this version",
            "start `dreamvla run` first",
        ) from error
    before = rows["number"].copy()
    copied = rows.copy()
    whole = (before > 0) & (before == rows["number"])
    found = []
    for row in np.flatnonzero(whole)[np.argsort(before[whole])]:
        spans = {
            stage: (float(begin), float(end))
            for stage, (begin, end) in zip(STAGES, copied["times_s"][row], strict=True)
            if np.isfinite(begin)
        }
        found.append(Noted(int(before[row]), int(copied["sequence"][row]), spans))
    return found
