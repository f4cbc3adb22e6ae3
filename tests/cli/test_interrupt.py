"""Ctrl-C at each stage of `dreamvla export`: nothing is left, and what was there still is."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from bundles import copy_of
from commands import PROGRAM, Good, entries
from dreamvla_edge.runtime.bundle import open_bundle

INTERRUPTED = "error: interrupted\n  expected: to run to the end\n  what to do: start it again\n"


@pytest.mark.parametrize(
    ("stage", "begun"),
    [
        ("reading", False),
        ("writing text (1 of 6)", True),
        pytest.param("writing denoise (5 of 6)", True, marks=pytest.mark.slow),
        ("recording golden data", True),
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
    out, err = program.communicate(timeout=60)
    return seen, program.returncode, out, "".join([*lines, err])
