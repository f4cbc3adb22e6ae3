"""The files of a profile: the document, the page, the trace."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile

import msgspec

from dreamvla_edge.runtime.errors import OutputError
from dreamvla_edge.runtime.profiler.profile import Profile
from dreamvla_edge.runtime.profiler.trace import trace_events

from .profile_page import page
from .profile_run import Run
from .written import require_free, write_file


def places(
    output: Path | None,
    html: Path | None,
    trace: Path | None,
    force: bool,
    read: tuple[Path | None, ...],
) -> dict[str, Path]:
    """Where what is to be written goes; of the folders only -o itself may be missing.

    read: what the same command reads, which stays. Raises OutputError if something is there, or
    nothing can be.
    """
    found = {name: path for name, path in (("html", html), ("trace", trace)) if path is not None}
    folders = [path.absolute().parent for path in found.values()]
    if output is not None:
        there = output.exists() or output.is_symlink()
        folders.append(output if there else output.absolute().parent)
        found = {
            "profile": output / "profile.json",
            "html": output / "index.html",
            "trace": output / "trace.json",
        } | found
    for path in found.values():
        require_free(path, force)
    _require_apart(found, read)
    for folder in folders:
        try:
            TemporaryFile(dir=folder).close()
        except OSError as error:
            raise OutputError(
                f"nothing can be written into {folder} ({error.strerror})",
                "an existing folder that can be written",
                "choose another place",
            ) from error
    return found


def write(found: Profile, run: Run, into: Mapping[str, Path], force: bool) -> OutputError | None:
    """Writes all that can be written; the error of the first that could not."""
    contents = {
        "profile": lambda: msgspec.json.encode({"profile": found}),
        "html": lambda: page(found).encode(),
        "trace": lambda: json.dumps(
            trace_events(run.timelines, run.reports, run.seen.samples)
        ).encode(),
    }
    failed: OutputError | None = None
    if "profile" in into:
        with contextlib.suppress(OSError):  # said below
            into["profile"].parent.mkdir(exist_ok=True)
    for name, path in into.items():
        try:
            require_free(path, force)  # again: somebody else may have written it meanwhile
            write_file(path, contents[name]())
        except OutputError as error:
            failed = failed or error
    return failed


def _require_apart(found: Mapping[str, Path], read: tuple[Path | None, ...]) -> None:
    """Raises OutputError for two files with one place, or one in the place of what is read."""
    taken = {os.path.realpath(path) for path in read if path is not None}
    for path in found.values():
        if (place := os.path.realpath(path)) in taken:
            raise OutputError(
                f"two files of this command would be {path}",
                "a place of its own for each file",
                "choose another name",
            )
        taken.add(place)
