"""What every command prints: progress on stderr, a table or one JSON document on stdout."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

import click


class Report:
    """Output of one command run.

    as_json: one JSON document on stdout instead of text; verbosity: -1 quiet, 0 normal, 1 more.
    Progress goes to stderr and, unless -v asks for it, only when that is a terminal.
    """

    def __init__(self, as_json: bool = False, verbosity: int = 0) -> None:
        self.as_json, self.verbosity = as_json, verbosity
        self._start = time.monotonic()

    def progress(self, message: str) -> None:
        """One line about what begins now."""
        if self.verbosity > 0 or (self.verbosity == 0 and sys.stderr.isatty()):
            click.echo(f"[{time.monotonic() - self._start:6.1f} s] {message}", err=True)

    def text(self, message: str = "") -> None:
        """A line for a person."""
        if not self.as_json and self.verbosity >= 0:
            click.echo(message)

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

    def document(self, value: Any) -> None:
        """The JSON document."""
        if self.as_json:
            click.echo(json.dumps(value, indent=1, allow_nan=False, default=_plain))


def _is_number(cell: str) -> bool:
    try:
        float(cell or "0")
    except ValueError:
        return False
    return True


def _plain(value: Any) -> Any:
    """NumPy arrays and numbers as lists and numbers; paths as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
