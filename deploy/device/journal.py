"""What was done to a device, one line for each step, on the disk before the next one begins."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any


class Journal:
    """A file of JSON lines that only grows; a line that a crash cut off is passed over."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, step: str, release: str = "", **facts: Any) -> None:
        """One more line, on the disk when this returns."""
        entry = {"at": time.time(), "step": step, "release": release, **facts}
        line = json.dumps(entry).encode() + b"\n"
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            size = os.fstat(fd).st_size
            if size and os.pread(fd, 1, size - 1) != b"\n":
                line = b"\n" + line
            os.write(fd, line)
            os.fsync(fd)
        finally:
            os.close(fd)
        sync_folder(self._path.parent)

    def entries(self) -> list[dict[str, Any]]:
        """All whole lines, oldest first."""
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return []
        found = []
        for line in text.split(b"\n"):
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and "step" in entry:
                found.append(entry)
        return found

    def last(self, step: str, release: str) -> dict[str, Any] | None:
        """The newest line about a step of a release."""
        found = (e for e in self.entries() if (e["step"], e["release"]) == (step, release))
        return max(found, key=lambda entry: float(entry["at"]), default=None)

    def healthy(self) -> list[str]:
        """Releases that ran well and were not rolled back from since, the newest last."""
        stack: list[str] = []
        for entry in self.entries():
            if entry["step"] in ("healthy", "withdrawn"):
                stack = [release for release in stack if release != entry["release"]]
                if entry["step"] == "healthy":
                    stack.append(entry["release"])
        return stack

    def unfinished(self) -> dict[str, Any] | None:
        """The line of a switch of which nobody knows how it ended; None if there is none."""
        begun = None
        for entry in self.entries():
            if entry["step"] == "switching":
                begun = entry
            elif entry["step"] in ("healthy", "withdrawn"):
                begun = None
        return begun


def sync_folder(folder: Path) -> None:
    """Names in a folder are on the disk when this returns."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
