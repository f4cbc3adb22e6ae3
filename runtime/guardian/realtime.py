"""What Linux grants a process that must not be late."""

from __future__ import annotations

import ctypes
import gc
import os
import resource
from dataclasses import dataclass

from dreamvla_edge.runtime.cores import keep_to_last_core

PRIORITY = 50
"""As ros2_control: the middle of the range, where the kernel's interrupt threads are too."""
_CURRENT, _FUTURE = 1, 2


@dataclass(frozen=True)
class Granted:
    """What was granted.

    fifo: runs before every ordinary process; locked: memory is never swapped out; why_not: for
    what was refused, empty if nothing was.
    """

    fifo: bool
    locked: bool
    why_not: str = ""

    @property
    def bits(self) -> int:
        """As in a report: bit 0 SCHED_FIFO, bit 1 locked memory."""
        return self.fifo | self.locked << 1


def ask(wanted: bool = True) -> Granted:
    """Asks for SCHED_FIFO and locked memory, and ends garbage collection in between cycles.

    With SCHED_FIFO it keeps to the last core. Never fails: what is refused is said. Reference
    counting frees what a cycle makes.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    if not wanted:
        return Granted(False, False, "not asked for")
    refused = []
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
        fifo = True
        keep_to_last_core()
    except OSError as error:
        fifo = False
        refused.append(f"SCHED_FIFO: {error.strerror} (allow it with `LimitRTPRIO={PRIORITY}`)")
    locked = _lock_memory()
    if not locked:
        refused.append("locked memory: limited (allow it with `LimitMEMLOCK=infinity`)")
    return Granted(fifo, locked, "; ".join(refused))


def _lock_memory() -> bool:
    """Locks all pages, present and future; only where no limit can be hit by a later one."""
    endless = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] == resource.RLIM_INFINITY
    if not (endless or os.geteuid() == 0):
        return False
    locked: bool = ctypes.CDLL(None).mlockall(_CURRENT | _FUTURE) == 0
    return locked
