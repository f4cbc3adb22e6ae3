"""One small file, written completely or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def require_free(path: Path, force: bool) -> None:
    """Raises OutputError if the file exists and may not be replaced."""
    from dreamvla_edge.runtime.errors import OutputError

    if not force and (path.exists() or path.is_symlink()):
        raise OutputError(
            f"{path} exists", "a new name", "choose another name, or replace it with --force"
        )


def write_file(path: Path, content: bytes) -> None:
    """Writes a file beside its place and moves it there; who reads it sees the old or the new one.

    A link is followed, and the permissions of a file that is replaced are kept. Raises OutputError.
    """
    from dreamvla_edge.runtime.errors import OutputError

    place = path.resolve()
    partial = place.with_name(f".{place.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if place.exists():
            partial.chmod(place.stat().st_mode & 0o777)
        partial.replace(place)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error})",
            "a file in an existing, writable directory",
            "choose another path",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
