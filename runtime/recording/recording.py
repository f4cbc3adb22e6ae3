"""A recording as it lies on the disk, whole or cut off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.errors import RecordingError
from dreamvla_edge.runtime.guardian.message import (
    REPORT,
    REPORT_1,
    MessageError,
    decode_report,
    from_version_1,
    of_version_1,
)

from .frames import ROLES, Image, Role, decode_frame, stamp_of
from .header import HEADER_NAME, SCHEMA_VERSION, Header
from .recorder import EVENTS, FRAMES, REPORTS, STEPS
from .records import Records, find
from .step import Event, Step, decode_event, decode_step


class Frames:
    """The frames of one camera in the order of their capture; stamps_s (n,): monotonic [s]."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self.stamps_s = np.array([stamp_of(head) for head in records.heads()], np.float64)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> Image:
        try:
            return decode_frame(self._records[index])[0]
        except ValueError as error:
            raise _damaged(self._records.path, error) from error

    def seen(self, stamp_s: float) -> tuple[Image, bool]:
        """The frame of this stamp, and True; if it was dropped the one before it, and False.

        Raises RecordingError if there is none that early.
        """
        index = int(np.searchsorted(self.stamps_s, stamp_s, side="right")) - 1
        if index < 0:
            raise RecordingError(
                f"{self._records.path} holds no frame from {stamp_s:.3f} s or before",
                "a frame for every step",
                "record again; what the recorder dropped is named when a run ends",
            )
        return self[index], bool(self.stamps_s[index] == stamp_s)


@dataclass(frozen=True, eq=False)
class Recording:
    """Everything that is whole in a recording's folder.

    reports (n,): records of `guardian.message.REPORT`, mapped from the file; lost_bytes: of the
    files that end in a record that is cut or damaged, by name.
    """

    folder: Path
    header: Header
    reports: NDArray[Any]
    steps: tuple[Step, ...]
    events: tuple[Event, ...]
    frames: Mapping[Role, Frames]
    lost_bytes: Mapping[str, int]

    @property
    def outcome(self) -> str:
        """success, failure, discard, or unknown, also where the recording was cut off."""
        found = [event.text for event in self.events if event.kind == "outcome"]
        return found[-1] if found else "unknown"

    @cached_property
    def episodes(self) -> tuple[range, ...]:
        """Indices of the steps from one reset or instruction to the next."""
        tasks = [step.instruction for step in self.steps]
        new = [
            step.first or i == 0 or tasks[i] != tasks[i - 1] for i, step in enumerate(self.steps)
        ]
        starts = [i for i, begins in enumerate(new) if begins]
        return tuple(map(range, starts, [*starts[1:], len(self.steps)]))


def open_recording(folder: Path) -> Recording:
    """Reads a recording; a last record that was cut off is left out and counted.

    Raises RecordingError if there is none, if it has another schema version, or if what is
    whole makes no sense.
    """
    header = _header(folder)
    reports, lost_reports = _reports(folder / REPORTS)
    found = {name: find(folder / name) for name in (STEPS, EVENTS, *FRAMES.values())}
    steps, events = found[STEPS], found[EVENTS]
    try:
        decoded_steps = tuple(decode_step(steps[i]) for i in range(len(steps)))
        decoded_events = tuple(decode_event(events[i]) for i in range(len(events)))
    except (ValueError, msgspec.DecodeError) as error:
        raise _damaged(folder, error) from error
    frames = {role: Frames(found[FRAMES[role]]) for role in ROLES}
    lost = {REPORTS: lost_reports} | {name: records.lost_bytes for name, records in found.items()}
    return Recording(
        folder,
        header,
        reports,
        decoded_steps,
        decoded_events,
        frames,
        {name: count for name, count in lost.items() if count},
    )


def _header(folder: Path) -> Header:
    path = folder / HEADER_NAME
    try:
        raw = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise RecordingError(
            f"{folder} cannot be read ({error})",
            f"the folder of a recording, with {HEADER_NAME}",
            "give the folder that `dreamvla run --record` or `dreamvla record` wrote",
        ) from error
    if raw.get("schema_version") != SCHEMA_VERSION:
        raise RecordingError(
            f"{path} has schema version {raw.get('schema_version')!r}",
            f"version {SCHEMA_VERSION}",
            f"use the dreamvla-edge that wrote it ({raw.get('version', 'unknown')})",
        )
    try:
        return msgspec.convert(raw, Header)
    except msgspec.ValidationError as error:
        raise _damaged(path, error) from error


def _reports(path: Path) -> tuple[NDArray[Any], int]:
    size = path.stat().st_size if path.is_file() else 0
    if size == 0:
        return np.empty(0, REPORT), 0
    with path.open("rb") as file:
        old = of_version_1(file.read(8))
    layout = REPORT_1 if old else REPORT
    count = size // layout.itemsize
    if count == 0:
        return np.empty(0, REPORT), size
    reports: NDArray[Any] = np.memmap(path, layout, "r", shape=(count,))
    whole = (reports["magic"] == reports["magic"][0]) & (
        reports["version"] == reports["version"][0]
    )
    count = len(whole) if whole.all() else int(np.argmin(whole))
    reports = from_version_1(reports[:count]) if old else reports[:count]
    try:
        decode_report(reports[0].tobytes())
    except MessageError as error:
        raise _damaged(path, error) from error
    return reports, size - count * layout.itemsize


def _damaged(path: Path, error: Exception) -> RecordingError:
    return RecordingError(
        f"{path} cannot be used ({error})",
        f"what dreamvla-edge writes with schema version {SCHEMA_VERSION}",
        "record again, or use the version that wrote it",
    )
