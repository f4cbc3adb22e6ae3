"""One small file, written completely or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path


def require_free(path: Path, force: bool) -> None:
    """Raises OutputError if what is there may not be replaced, or nothing can be.

    Only a regular file ever is: no folder, device or pipe, whatever `force` says.
    """
    from dreamvla_edge.runtime.errors import OutputError

    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        if path.is_symlink() and not force:
            raise _exists(path) from None
        return
    except OSError as error:
        raise _unwritable(path, error) from error
    if not stat.S_ISREG(kind):
        raise OutputError(
            f"{path} exists and is no regular file", "the name of a file", "choose another name"
        )
    if not force:
        raise _exists(path)


def write_file(path: Path, content: bytes) -> None:
    """Writes a file beside its place and moves it there; who reads it sees the old or the new one.

    A link is followed, and the permissions of a file that is replaced are kept. Raises OutputError.
    """
    place = Path(os.path.realpath(path))
    partial = place.with_name(f".{secrets.token_hex(8)}.partial")  # short, whatever the name
    try:
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if place.exists():
            partial.chmod(place.stat().st_mode & 0o777)
        partial.replace(place)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _exists(path: Path) -> Exception:
    from dreamvla_edge.runtime.errors import OutputError

    return OutputError(
        f"{path} exists", "a new name", "choose another name, or replace it with --force"
    )


def _unwritable(path: Path, error: OSError) -> Exception:
    from dreamvla_edge.runtime.errors import OutputError

    return OutputError(
        f"{path} cannot be written ({error.strerror or error})",
        "a file in an existing, writable directory",
        "choose another path",
    )
