"""Writes a recording while the arm moves, without ever making it wait."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from dreamvla_edge.runtime.errors import RecordingError

from .frames import ROLES, Image, Role, encode_frame
from .header import HEADER_NAME, Header
from .records import packed
from .step import Event, Step, encode_event, encode_step

REPORTS, STEPS, EVENTS = "reports.bin", "steps.bin", "events.bin"
FRAMES: Mapping[Role, str] = {role: f"frames_{role}.bin" for role in ROLES}

RESERVE_BYTES = 1_000_000_000
"""A recording stops when the disk has less room than this: the system needs some too."""

WAITING = {FRAMES["primary"]: 64, FRAMES["wrist"]: 64}
"""How many frames may wait to be written, by file; a frame takes a megabyte."""
_WAITING_OTHERS = 4096
_ROOM_INTERVAL_S = 1.0
_CLOSE_S = 10.0


@dataclass(frozen=True)
class Written:
    """What became of a recording.

    counts: records that the kernel has, by file; dropped: records that never got there, by file;
    stopped: why it ended early, or None.
    """

    counts: Mapping[str, int]
    dropped: Mapping[str, int]
    stopped: str | None


class Recorder:
    """A recording that is being written, by a thread of its own.

    No method but `close` waits for the disk: what finds the queue full is dropped and counted.
    Every record goes to the kernel at once, so it survives the end of this process, however that
    comes; not a power cut. When the disk is nearly full, or writing fails, the recording ends
    with an event, `written.stopped` says why, and the caller goes on undisturbed.

    folder: made here, must not exist or be empty. Raises RecordingError.
    """

    def __init__(self, folder: Path, header: Header) -> None:
        self.folder, self._header = folder, header
        _make(folder, header)
        self._jobs: deque[tuple[str, Callable[[], bytes]]] = deque()
        self._wake = threading.Condition()
        self._waiting: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self._stopped: str | None = None
        self._closing = False
        self._files: dict[str, int] = {}
        self._room_at_s = 0.0
        self._thread = threading.Thread(target=self._write_all, name="recorder", daemon=True)
        self._thread.start()

    @property
    def written(self) -> Written:
        """So far."""
        with self._wake:
            return Written(dict(self._counts), dict(+self._dropped), self._stopped)

    def report(self, packet: bytes) -> None:
        """One message of the guardian, as it came."""
        self._put(REPORTS, lambda: packet)

    def frame(self, role: Role, image: Image, stamp_s: float) -> None:
        """One frame (height, width, 3), captured at stamp_s, monotonic [s]; it is copied."""
        if self._has_room(FRAMES[role]):
            copy = image.copy()
            self._put(
                FRAMES[role], lambda: packed(encode_frame(copy, stamp_s, self._header.lossless))
            )

    def step(self, step: Step) -> None:
        """One decision of the policy; its arrays must not be changed any more."""
        self._put(STEPS, lambda: packed(encode_step(step)))

    def event(self, kind: str, text: str = "") -> None:
        """Something that happened now: start, instruction, stop, reset, hold, fault, camera."""
        event = Event(time.monotonic(), kind, text)
        self._put(EVENTS, lambda: packed(encode_event(event)))

    def close(self, outcome: str = "unknown") -> Written:
        """Writes what waits, then the outcome: success, failure, discard or unknown.

        A disk that takes nothing any more is not waited for longer than some seconds.
        """
        self.event("outcome", outcome)
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(_CLOSE_S)
        if self._thread.is_alive():
            self._give_up(f"the disk of {self.folder} has taken nothing for {_CLOSE_S:g} s")
        return self.written

    def _has_room(self, name: str) -> bool:
        """Whether a record for this file may wait; if not it counts as dropped."""
        with self._wake:
            room = (
                self._stopped is None
                and not self._closing
                and self._waiting[name] < WAITING.get(name, _WAITING_OTHERS)
            )
            self._dropped[name] += not room
            return room

    def _put(self, name: str, encode: Callable[[], bytes]) -> None:
        if self._has_room(name):
            with self._wake:
                self._waiting[name] += 1
                self._jobs.append((name, encode))
                self._wake.notify()

    def _write_all(self) -> None:
        try:
            while (job := self._next()) is not None:
                name, encode = job
                try:
                    self._require_room()
                    self._write(name, encode())
                except OSError as error:
                    self._stop(name, f"recording stopped: {error.strerror or error}")
                except Exception as error:  # what cannot be encoded must not end it unseen
                    self._stop(name, f"recording stopped: {type(error).__name__}: {error}")
        finally:
            for descriptor in self._files.values():
                os.close(descriptor)

    def _next(self) -> tuple[str, Callable[[], bytes]] | None:
        with self._wake:
            while not self._jobs:
                if self._closing:
                    return None
                self._wake.wait()
            name, encode = self._jobs.popleft()
            self._waiting[name] -= 1
            return name, encode

    def _write(self, name: str, data: bytes) -> None:
        if name not in self._files:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._files[name] = os.open(self.folder / name, flags, 0o644)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._files[name], rest) :]
        with self._wake:
            self._counts[name] += 1

    def _require_room(self) -> None:
        """Raises OSError if the disk is nearly full; asks now and then."""
        now_s = time.monotonic()
        if now_s >= self._room_at_s:
            self._room_at_s = now_s + _ROOM_INTERVAL_S
            disk = os.statvfs(self.folder)
            free = disk.f_bavail * disk.f_frsize
            if free < RESERVE_BYTES:
                raise OSError(
                    f"{free / 1e9:.2f} GB free on the disk of {self.folder}, it keeps"
                    f" {RESERVE_BYTES / 1e9:g} GB free"
                )

    def _stop(self, failed: str, reason: str) -> None:
        """Ends the recording early: the record for the file `failed` and all that wait drop out."""
        self._give_up(reason)
        with self._wake:
            self._dropped[failed] += 1
        try:
            self._write(EVENTS, packed(encode_event(Event(time.monotonic(), "full", reason))))
        except OSError:  # the disk takes nothing at all any more; `written` says why
            pass

    def _give_up(self, reason: str) -> None:
        with self._wake:
            self._stopped = reason
            self._dropped.update(name for name, _ in self._jobs)
            self._jobs.clear()


def _make(folder: Path, header: Header) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise RecordingError(
                f"{folder} is not empty",
                "a folder of its own for every recording",
                "name a new folder",
            )
        content = msgspec.json.format(msgspec.json.encode(header), indent=1)
        (folder / HEADER_NAME).write_bytes(content)
    except OSError as error:
        raise RecordingError(
            f"no recording can be written to {folder} ({error})",
            "a folder that can be written",
            "choose another place",
        ) from error
