"""One guardian per serial port."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from dreamvla_edge.runtime.errors import GuardianError


def hold(path: Path) -> IO[str]:
    """Locks a file until the process ends, however it ends; the file names the holder.

    Raises GuardianError if another process holds it, or its folder is another user's, who could
    then give orders to the arm.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise GuardianError(
            f"the folder {path.parent} cannot be made ({error.strerror})",
            "a folder of this user alone, for the guardian's socket",
            "set XDG_RUNTIME_DIR to a folder of your own, or unset it",
        ) from error
    if path.parent.stat().st_uid != os.getuid():
        raise GuardianError(
            f"the folder {path.parent} belongs to another user",
            "a folder of this user alone",
            "remove it, or set XDG_RUNTIME_DIR to a folder of your own",
        )
    file = open(path, "a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise GuardianError(
            f"a guardian runs for this arm already (process {holder(path) or 'unknown'})",
            "one guardian per arm",
            "talk to it with `dreamvla arm monitor`, or end it with Ctrl-C where it was started",
        ) from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def holder(path: Path) -> int | None:
    """The process that locked the file last, dead or alive; None if there was none."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
