"""What every command prints: progress on stderr, a table or one JSON document on stdout."""

from __future__ import annotations

import json
import math
import shlex
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click


class Report:
    """Output of one command run.

    as_json: one JSON document on stdout instead of text; verbosity: -1 quiet, 0 normal, 1 more.
    Progress goes to stderr and, unless -v asks for it, only when that is a terminal.
    """

    def __init__(self, as_json: bool = False) -> None:
        self.as_json, self.verbosity = as_json, 0
        self._start = time.monotonic()
        self._document: dict[str, Any] = {}

    def progress(self, message: str) -> None:
        """One line about what begins now."""
        if self.verbosity > 0 or (self.verbosity == 0 and sys.stderr.isatty()):
            click.echo(f"[{time.monotonic() - self._start:6.1f} s] {message}", err=True)

    def text(self, message: str = "") -> None:
        """A line for a person."""
        if not self.as_json and self.verbosity >= 0:
            click.echo(message)

    def next(self, *arguments: object) -> None:
        """The command line to try next, with the full path of the program."""
        program = Path(sys.executable).with_name("dreamvla")
        known = [str(program)] if program.is_file() else [sys.executable, "-m", "dreamvla_edge.cli"]
        line = shlex.join([*known, *map(str, arguments)])
        self.text(f"next: {line}")
        self.document({"next": line})

    def table(self, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Rows under a header, in columns; numbers stand to the right."""
        lines = [tuple(header), *(tuple(row) for row in rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
        right = [all(_is_number(line[i]) for line in lines[1:]) for i in range(len(header))]
        for line in lines:
            cells = (
                cell.rjust(width) if flush else cell.ljust(width)
                for cell, width, flush in zip(line, widths, right, strict=True)
            )
            self.text("  ".join(cells).rstrip())

    def document(self, entries: Mapping[str, Any]) -> None:
        """Entries of the JSON document, which is printed at the end."""
        self._document.update(entries)

    def as_text(self) -> str:
        """The JSON document as it is by now."""
        return json.dumps(_plain(self._document), indent=1, allow_nan=False)

    def finish(self) -> None:
        """Print the JSON document if one was asked for."""
        if self.as_json:
            click.echo(self.as_text())


def _is_number(cell: str) -> bool:
    try:
        float(cell or "0")
    except ValueError:
        return False
    return True


def _plain(value: Any) -> Any:
    """In types that JSON has: arrays as lists, paths as text, NaN and infinity as null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if hasattr(value, "tolist"):  # a NumPy array or number
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)
