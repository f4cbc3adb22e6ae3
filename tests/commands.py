"""Runs the real commands, most of them in processes of their own."""

from __future__ import annotations

import io
import json
import os
import pty
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from dreamvla_edge.cli import main
from dreamvla_edge.runtime.interrupts import STOPPING

PROGRAM = [str(Path(sys.executable).with_name("dreamvla"))]
Done = subprocess.CompletedProcess[str]


class Good(NamedTuple):
    """An export without a defect: what it took, and what it gave."""

    checkpoint: Path
    data_set: Path
    bundle: Path
    done: Done


def dreamvla(*arguments: object, **options: Any) -> Done:
    """Run `dreamvla` with these arguments to its end; stdout and stderr are pipes."""
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, **options)


def in_process(*arguments: object) -> Done:
    """As `dreamvla`, but here: for many cases of what is said, beside a few of real processes."""
    out, err = io.StringIO(), io.StringIO()
    handlers = {number: signal.getsignal(number) for number in STOPPING}
    command = ["dreamvla", *map(str, arguments)]
    try:
        with redirect_stdout(out), redirect_stderr(err), mock.patch.object(sys, "argv", command):
            main()
    except SystemExit as ended:
        assert isinstance(ended.code, int)
        return Done(command, ended.code, out.getvalue(), err.getvalue())
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def document(done: Done) -> dict[str, Any]:
    """The one JSON document that stdout holds; anything else there is an error."""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def on_terminal(*arguments: object, stdout: int | None = None) -> tuple[int, str]:
    """Exit status of `dreamvla` on a pseudo-terminal, and what it showed there.

    stdout: a file to which its output goes instead, as with `dreamvla … > file`.
    """
    shown = bytearray()
    master, terminal = pty.openpty()

    def show() -> None:
        try:
            while data := os.read(master, 4096):
                shown.extend(data)
        except OSError:  # Linux: nobody holds the terminal any more
            pass

    reader = threading.Thread(target=show)
    reader.start()
    program = subprocess.Popen(
        [*PROGRAM, *map(str, arguments)],
        stdin=terminal,
        stdout=terminal if stdout is None else stdout,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(terminal)
    code = program.wait(600)
    reader.join()
    os.close(master)
    return code, shown.decode().replace("\r\n", "\n")


def cure_of(stderr: str) -> tuple[str, str, str]:
    """Found, expected and cure of the one error that stderr holds, and nothing else."""
    found, expected, cure = stderr.rstrip("\n").split("\n")
    assert found.startswith("error: ")
    assert expected.startswith("  expected: ")
    assert cure.startswith("  what to do: ")
    return found[7:], expected[12:], cure[14:]


def entries(folder: Path) -> set[str]:
    """Names of all files and folders below a folder, hidden ones too."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@contextmanager
def small_disk(folder: Path) -> Iterator[tuple[Path, Callable[[], None]]]:
    """A folder for 8 MB, and what limits a process if the folder itself does not.

    Who may not mount a disk limits the size of files instead, which every system allows.
    """
    size = 8_000_000
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    if os.getuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0:
        try:
            yield folder, lambda: None
        finally:
            subprocess.run(["umount", folder], check=True)
    else:
        yield folder, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
