"""Ctrl-C and other signals: nothing is left of an export, and what was there still is."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bundles import copy_of
from commands import PROGRAM, Done, Good, entries
from dreamvla_edge.cli.exit_codes import EXIT_CODES
from dreamvla_edge.runtime.bundle import open_bundle

INTERRUPTED = "error: interrupted\n  expected: to run to the end\n  what to do: start it again\n"


@pytest.mark.parametrize(
    ("stage", "begun"),
    [
        ("reading", False),
        ("writing text (1 of 6)", True),
        pytest.param("writing denoise (5 of 6)", True, marks=pytest.mark.slow),
        pytest.param("recording golden data", True, marks=pytest.mark.slow),
        pytest.param("verifying", True, marks=pytest.mark.slow),
    ],
)
def test_at_a_stage(stage: str, begun: bool, good: Good, tmp_path: Path) -> None:
    """begun: whether a part of the bundle had been written when Ctrl-C came."""
    arguments = [good.checkpoint, "-o", tmp_path / "bundle", "--data-set", good.data_set]
    seen, code, out, err = interrupted(stage, tmp_path, "export", *arguments, "-v", "--json")
    assert any(name.startswith(".bundle.partial-") for name in seen) == begun
    assert code == 130
    assert err.endswith(INTERRUPTED) and "Traceback" not in err
    written = json.loads(out)
    assert (written["exit_code"], written["error"]["kind"]) == (130, "Interrupted")
    assert entries(tmp_path) == set()


def test_before_an_older_bundle_is_replaced(good: Good, tmp_path: Path) -> None:
    """With --force the old one stays until the new one is complete and verified."""
    place = copy_of(open_bundle(good.bundle), tmp_path / "bundle")
    before = entries(tmp_path)
    arguments = [good.checkpoint, "-o", place, "--data-set", good.data_set, "--force"]
    seen, code, _, err = interrupted("verifying", tmp_path, "export", *arguments, "-v")
    assert seen > before
    assert code == 130 and err.endswith(INTERRUPTED)
    assert entries(tmp_path) == before
    assert open_bundle(place).manifest == open_bundle(good.bundle).manifest


SIGNALLED = """
import os, signal
import click
from dreamvla_edge.cli.command import run
from dreamvla_edge.runtime.errors import ArmError

@click.command()
@click.argument("number", type=int)
@click.argument("end")
def command(number, end):
    try:
        os.kill(os.getpid(), number)
        signal.pause()
    except KeyboardInterrupt:
        if end == "import":
            raise ImportError("numpy cannot be imported")
        if end == "hold":
            raise ArmError("servo 3 does not answer", "an answer", "check the cable")
        raise

run(command, "command")
"""
"""A command that a signal stops, and how it ends then."""


def signalled(number: int, end: str) -> Done:
    """The end of that command."""
    command = [sys.executable, "-c", SIGNALLED, str(number), end]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("end", ["at once", "import"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_whatever_a_library_makes_of_a_signal(number: int, end: str) -> None:
    """An import that Ctrl-C stops often ends as an ImportError of its own."""
    done = signalled(number, end)
    assert (done.returncode, done.stderr.lstrip("\n")) == (130, INTERRUPTED)


def test_an_arm_that_does_not_hold_is_told() -> None:
    """That is worse than an interrupt: it may still move."""
    done = signalled(signal.SIGINT, "hold")
    assert done.returncode == EXIT_CODES["ArmError"]
    assert done.stderr.lstrip("\n").startswith("error: servo 3 does not answer\n")


def test_nohup() -> None:
    """A signal that is ignored from the start stays so."""
    ignored = f"import signal; signal.signal({signal.SIGHUP}, signal.SIG_IGN)\n"
    late = SIGNALLED.replace("signal.pause()", "click.echo('done')")
    command = [sys.executable, "-c", ignored + late, str(int(signal.SIGHUP)), "at once"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "done\n")


def interrupted(stage: str, folder: Path, *arguments: object) -> tuple[set[str], int, str, str]:
    """Start a command and press Ctrl-C once a line of its progress names the stage.

    What was in the folder then; exit status, stdout, stderr.
    """
    program = subprocess.Popen(
        [*PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert program.stdout is not None and program.stderr is not None
    lines = []
    for line in program.stderr:
        lines.append(line)
        if f"] {stage}" in line:
            break
    time.sleep(0.05)  # into the stage
    seen = entries(folder)
    program.send_signal(signal.SIGINT)
    out, err = program.communicate(timeout=120)
    return seen, program.returncode, out, "".join([*lines, err])
