"""Questions to the person at the terminal: on stderr, since stdout may be a document."""

from __future__ import annotations

import os
import select
import termios

import click


def say(message: str) -> None:
    """A line for the person."""
    click.echo(message, err=True)


def line_waits() -> bool:
    """Whether a line has been typed, or there will be none any more."""
    return bool(select.select([0], [], [], 0)[0])


def line() -> str:
    """The next line that is typed; waits for it. Raises click.Abort at the end of stdin.

    Read byte by byte: a buffer would hide from `line_waits` what it holds.
    """
    typed = bytearray()
    while not typed.endswith(b"\n"):
        byte = os.read(0, 1)
        if not byte:
            raise click.Abort
        typed += byte
    return typed.decode(errors="replace").strip()


def fresh_line(question: str) -> str:
    """The line that is typed after a question; what was typed before it does not answer it."""
    if os.isatty(0):
        termios.tcflush(0, termios.TCIFLUSH)
    say(question)
    return line()


def confirmed(question: str) -> bool:
    """Whether the answer is a yes."""
    click.echo(f"{question} [y/N] ", err=True, nl=False)
    return line().lower() in ("y", "yes")
