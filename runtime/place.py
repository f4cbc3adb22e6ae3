"""Where a bundle goes: written beside its place, moved there when it is complete."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .bundle import foreign_files
from .errors import OutputError

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
"""Linux: relative to the working directory; swap instead of replacing (renameat2(2))."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
_SPARE_BYTES = 1 << 20
"""NumPy's writer reports a full disk without an error number; less room than this tells it."""


def check_output(output: Path, force: bool) -> None:
    """Refuse early what `place` would refuse at the end.

    force: an earlier bundle may be replaced, but nothing else that lies in its directory.
    Raises OutputError.
    """
    if not output.parent.is_dir():
        raise OutputError(
            f"no directory {output.parent}", "an existing parent directory", "make it first"
        )
    if not (output.exists() or output.is_symlink()):
        return
    if not force:
        raise _exists(output)
    if output.is_symlink() or not output.is_dir():
        raise OutputError(
            f"{output} is not a directory",
            "an earlier bundle, the only thing that --force replaces",
            "choose another name",
        )
    foreign = foreign_files(output)
    if foreign:
        raise OutputError(
            f"{output} holds {', '.join(foreign[:3])}{' …' if len(foreign) > 3 else ''}, which"
            " no bundle there lists",
            "an earlier bundle and nothing else, since --force removes the whole directory",
            "move those files away or choose another name",
        )


@contextmanager
def place(output: Path, force: bool) -> Iterator[Path]:
    """A directory beside `output` that takes its place if the body succeeds, else vanishes.

    With `force` it changes places with an older bundle: in one step where the system can, so that
    there is a whole bundle at any moment, else the older one steps aside and comes back if the
    new one cannot follow. Raises OutputError when the disk is full or nothing can be written there.
    """
    partial: Path | None = None
    try:
        partial = Path(tempfile.mkdtemp(prefix=f".{output.name}.partial-", dir=output.parent))
        partial.chmod(0o755)
        yield partial
        if force and output.exists():
            _replace(output, partial)
        else:
            _move(partial, output)
    except OSError as error:
        raise _cannot_write(output, error) from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def _replace(output: Path, partial: Path) -> None:
    if _exchange(output, partial):
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{output.name}.old-", dir=output.parent))
    old = aside / output.name
    try:
        output.rename(old)
        partial.rename(output)
    finally:
        if old.exists() and not output.exists():
            old.rename(output)
        shutil.rmtree(aside, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Swap two directories in one step; False where Linux or the file system cannot."""
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    here = ctypes.c_int(_AT_FDCWD)
    return rename is not None and not rename(
        here, os.fsencode(one), here, os.fsencode(other), _RENAME_EXCHANGE
    )


def _move(partial: Path, output: Path) -> None:
    try:
        partial.rename(output)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise _exists(output) from error
        raise


def _exists(output: Path) -> OutputError:
    return OutputError(
        f"{output} exists", "a new name", "choose another name, or replace it with --force"
    )


def _cannot_write(output: Path, error: OSError) -> OutputError:
    unnumbered = error.errno is None
    if error.errno in _FULL or (unnumbered and _room(output.parent) < _SPARE_BYTES):
        return OutputError(
            f"no space left on the disk of {output.parent}",
            "room for the whole bundle beside any older one",
            "free some space or choose another disk",
        )
    return OutputError(
        f"{output} cannot be written ({error})",
        f"files of any size can be made in {output.parent}",
        "choose another place",
    )


def _room(folder: Path) -> int:
    return shutil.disk_usage(folder).free
