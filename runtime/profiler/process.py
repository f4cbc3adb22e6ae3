"""What processes and the machine use, out of /proc."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


class Memory(NamedTuple):
    """Resident memory of a process now, and its greatest so far [MB]."""

    now_mb: float
    peak_mb: float


def memory(process: int | str = "self") -> Memory | None:
    """Of a process by its number; None if it has ended, or the system has no /proc."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return None
    found = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    try:
        return Memory(*(int(found[key].split()[0]) * 1024 / 1e6 for key in ("VmRSS", "VmHWM")))
    except (KeyError, ValueError, IndexError):  # one that has ended has no memory
        return None


def forget_peak() -> None:
    """From here on the greatest memory of this process is counted anew, where the kernel does so.

    Linux: Documentation/filesystems/proc.rst, section 1.1, clear_refs.
    """
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def processor_s(process: int | str = "self") -> float | None:
    """Processor time that all threads of a process have used [s]; None as in `memory`."""
    try:
        text = Path(f"/proc/{process}/stat").read_text()
        fields = text.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * _TICK_S
    except (OSError, ValueError, IndexError):
        return None


def busy_s() -> float | None:
    """Processor time that all programs have used since the machine began, all cores [s]."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
        times = [int(field) for field in fields]
        return (sum(times[:3]) + sum(times[5:7])) * _TICK_S  # user, nice, system, irq, softirq
    except (OSError, ValueError):
        return None
