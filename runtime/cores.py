"""Which core belongs to whom while an arm is driven.

Guardian and virtual arm run before every ordinary process, and so interrupt an inference on
whichever core they wake. They keep to the last one: from there the kernel moves an inference away.
The first cores serve most of the hardware's interrupts.
"""

from __future__ import annotations

import contextlib
import os


def keep_to_last_core() -> None:
    """Has this thread, and those that it starts, run on the last core that it may use.

    Where that is refused (its cores have just changed), nothing changes.
    """
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def leave_last_core() -> None:
    """Has this thread, and those that it starts, run on the other ones, if there are any."""
    cores = os.sched_getaffinity(0)
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, cores - {max(cores)} or cores)
