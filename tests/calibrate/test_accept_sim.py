"""`dreamvla quantize --accept sim`: what is refused at once, kept after Ctrl-C, and passed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import PROGRAM, cure_of, document, dreamvla, entries, in_process
from dreamvla_edge.cli.exit_codes import EXIT_CODES
from dreamvla_edge.runtime.bundle import Bundle, open_bundle
from dreamvla_edge.sim.evaluation.evaluation import trials
from dreamvla_edge.sim.scene.layout import TRAINING
from kept_trials import lines, place_of, played_before

MORE = 11
"""Trials until Ctrl-C, twice each family."""


@pytest.fixture
def asked(tmp_path: Path) -> list[object]:
    """The rest of a command line, with data that there is none of."""
    return [tmp_path / "none", "-o", tmp_path / "new", "--preset", "cpu"]


def test_a_network_of_libero_needs_a_suite(
    bundle: Callable[[str], Bundle], asked: list[object], tmp_path: Path
) -> None:
    """Said before anything is read but the bundle."""
    path = bundle("libero_small").path
    done = in_process("quantize", path, *asked, "--accept", "sim")
    assert done.returncode == EXIT_CODES["WrongUsage"], done.stderr
    assert "cannot act in the demo's scene" in cure_of(done.stderr)[0]
    assert cure_of(done.stderr)[1] == "--libero SUITE"
    # By recordings it may be judged: then it is those that are missing.
    done = in_process("quantize", path, *asked)
    assert done.returncode == EXIT_CODES["DataError"] and entries(tmp_path) == set()


@pytest.mark.parametrize("accept", ["data", "robot", "none"])
def test_a_suite_for_what_plays_nothing(accept: str, asked: list[object]) -> None:
    """As when --accept sim was forgotten."""
    robot = ("--robot", "robot.toml", "--instruction", "lift")
    options = ("--accept", accept, "--libero", "libero_spatial", *robot)
    done = in_process("quantize", "demo", *asked, *options)
    assert done.returncode == EXIT_CODES["WrongUsage"]
    assert f"--libero libero_spatial with --accept {accept}" in cure_of(done.stderr)[0]


def test_without_liberos_packages(
    asked: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said at once, not after calibrating."""
    monkeypatch.setitem(sys.modules, "libero", None)  # whether it is installed or not
    options = ("--accept", "sim", "--libero", "libero_spatial")
    done = in_process("quantize", "demo", *asked, *options)
    assert done.returncode == EXIT_CODES["MissingExtra"]
    assert cure_of(done.stderr)[2] == "pip install 'dreamvla-edge[libero]'"
    assert entries(tmp_path) == set()


def workers_of(program: int) -> list[int]:
    """Processes that a program has started to play for it."""
    children = Path(f"/proc/{program}/task/{program}/children").read_text().split()
    started = {int(c): Path(f"/proc/{c}/cmdline").read_bytes() for c in children}
    return [number for number, line in started.items() if b"spawn_main" in line]


def interrupted(arguments: list[object], played: int) -> tuple[int, str]:
    """The command, and Ctrl-C for it alone when so many trials are played; code and stderr.

    Its workers stand still in the middle of a trial then: whoever waits for them waits for ever.
    """
    program = subprocess.Popen(
        [*PROGRAM, *map(str, arguments), "-v"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stderr is not None
    shown = []
    for one in program.stderr:
        shown.append(one)
        if f" {played} of 400 trials" in one:
            break
    workers = workers_of(program.pid)
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    program.send_signal(signal.SIGINT)
    try:
        _, rest = program.communicate(timeout=120)  # all have ended that could write there
    except subprocess.TimeoutExpired:
        for process in (*workers, program.pid):
            os.kill(process, signal.SIGKILL)
        raise
    return program.returncode, "".join([*shown, rest])


@pytest.fixture
def same(recordings: Path, tmp_path: Path) -> list[object]:
    """A command line that changes nothing but the sampler, but for where it goes."""
    plan = tmp_path / "plan.toml"
    plan.write_text('version = 1\nname = "same"\n[subgraphs]\n')
    asked = ["quantize", "demo", recordings, "--preset", plan, "--frames", 20]
    return [*asked, "--sampler", "parallel-9"]


@pytest.mark.slow
def test_the_bundle_says_where_it_passed(
    shipped: Bundle, same: list[object], tmp_path: Path
) -> None:
    """After 400 trials of both, of which all but two had been played before."""
    done = dreamvla(*same, "-o", tmp_path / "probe", "--accept", "none")
    assert done.returncode == 0, done.stderr
    asked, kept = trials(range(TRAINING, TRAINING + 400)), tmp_path / "new.trials"
    probe = open_bundle(tmp_path / "probe")  # by the same command, so its trials go on
    for bundle in (shipped, probe):
        played_before(bundle, kept, asked[1:])
    done = dreamvla(*same, "-o", tmp_path / "new", "--accept", "sim", "--json")
    assert done.returncode == 0, done.stderr
    assert lines(shipped, kept) == lines(probe, kept) == [*asked[1:], asked[0]]
    quantization = open_bundle(tmp_path / "new").manifest.quantization
    assert quantization is not None and quantization.acceptance is not None
    said = {
        key: quantization.acceptance[key] for key in ("kind", "world", "episodes", "difference")
    }
    assert said == {"kind": "sim", "world": "scene", "episodes": 400, "difference": 0}
    assert document(done)["played"].items() <= quantization.acceptance.items()


@pytest.mark.slow
def test_ctrl_c_leaves_what_was_played(shipped: Bundle, same: list[object], tmp_path: Path) -> None:
    """By two workers, by one, and by two: no trial twice, nothing half-written."""
    folder, before = tmp_path / "new.trials", 0
    asked = [*same, "-o", tmp_path / "new", "--accept", "sim"]
    for workers in (2, 1, 2):
        code, told = interrupted([*asked, "--workers", workers], before + MORE)
        assert code == EXIT_CODES["Interrupted"], told
        assert "Traceback" not in told
        assert sorted(p.name for p in tmp_path.iterdir()) == ["new.trials", "plan.toml"]
        found = lines(shipped, folder)
        assert len(found) == len(set(found)) >= before + MORE
        # A short trial that two workers begin after a long one does not wait for it.
        new = [asked.seed for asked in found[before:]]
        assert (new == sorted(new)) == (workers == 1)
        before = len(found)
    # What the unchanged bundle does is played before all that is made of it.
    assert [p.name for p in folder.iterdir()] == [place_of(shipped, folder).name]
