"""Who has a serial port open, from /proc."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def port_holder(port: str) -> str:
    """The programs that have locked `port`, or else all that have it open: process id and command.

    What another user runs cannot be seen; then, and where there is no /proc, the answer says so.
    """
    device = os.path.realpath(port)
    holders = [
        (process, fd)
        for process in Path("/proc").glob("[0-9]*")
        for fd in _descriptors(process)
        if _target(process / "fd" / fd) == device
    ]
    locking = [
        (process, fd) for process, fd in holders if "lock:" in _text(process / "fdinfo" / fd)
    ]
    processes = sorted({int(process.name) for process, _ in locking or holders})
    if not processes:
        return "another user's process"
    return ", ".join(f"process {number} ({_command(number)})" for number in processes)


def _descriptors(process: Path) -> list[str]:
    with suppress(OSError):
        return os.listdir(process / "fd")
    return []


def _target(link: Path) -> str:
    with suppress(OSError):
        return os.readlink(link)
    return ""


def _text(file: Path) -> str:
    with suppress(OSError):
        return file.read_text(errors="replace")
    return ""


def _command(process: int) -> str:
    words = _text(Path(f"/proc/{process}/cmdline")).split("\0")
    return " ".join(words).strip() or "command unknown"
