"""Whoever is killed when, the device has a release that works, and the next flash ends well."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import PROGRAM
from flash.board import HERE, Board
from flash.conftest import COMMON, Made

POINTS = 40
"""An update has so many durable points at most; the last of them must not be reached."""
PATIENT_S = 200.0


def update(boards: Made, board: Board, bundle: Path) -> int:
    """Exit code of a flash."""
    done, _ = boards.flash(bundle, board)
    return done.returncode


def check(boards: Made, board: Board, bundle: Path, before: str) -> None:
    """After a kill: what is in force and what was, and the next flash."""
    assert board.current in board.releases
    assert board.verifies(before)
    done, told = boards.flash(bundle, board)
    assert done.returncode == 0, done.stderr
    row = told["hosts"][board.host]
    assert board.current == row["release"] != before
    assert board.verifies(board.current)
    status = board.status()
    assert status["state"] == "stop" and board.current in status["bundle"]
    assert board.steps[-1] in ("healthy", "pruned")
    hidden = [path.name for path in (board.base / "releases").glob(".*")]
    assert board.steps[-1] == "healthy" or hidden == []


def plant(board: Board, place: object) -> Path:
    """Lets the next agents kill themselves there; returns the file to take away again."""
    library = board.folder / "run" / "killer.so"
    options = ["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o", str(library)]
    subprocess.run(["cc", *options, str(HERE / "killer.c"), "-ldl"], check=True)
    wish = board.folder / "run" / "kill-agent"
    wish.write_text(f"{place}\n")
    return wish


def agent_killed(boards: Made, board: Board, bundle: Path, place: object) -> bool:
    """Whether a flash was killed there."""
    wish = plant(board, place)
    code = update(boards, board, bundle)
    wish.unlink()
    return code != 0


@pytest.mark.parametrize("place", [pytest.param("/current", marks=pytest.mark.slow), "+/current"])
def test_the_agent_killed_at_the_switch(
    boards: Made, board: Board, other: Callable[..., Path], place: str
) -> None:
    """Just before the link is moved, and just after."""
    before, bundle = board.current, other("second")
    assert agent_killed(boards, board, bundle, place)
    assert (board.current == before) == (place == "/current")
    check(boards, board, bundle, before)


@pytest.mark.slow
@pytest.mark.parametrize("point", range(1, POINTS + 1))
def test_the_agent_killed_at_every_durable_point(
    boards: Made, board: Board, other: Callable[..., Path], point: int
) -> None:
    """Before each fsync and each rename."""
    before, bundle = board.current, other("second")
    killed = agent_killed(boards, board, bundle, point)
    print(f"point {point}: {'killed' if killed else 'not reached'} after {board.steps[8:]}")
    assert killed or point > POINTS // 2
    assert not killed or point < POINTS, "raise POINTS"
    if killed:
        check(boards, board, bundle, before)


def host_killed(boards: Made, board: Board, bundle: Path, when: Callable[[], bool]) -> None:
    """`dreamvla flash` and its ssh, killed as soon as something is so on the device."""
    command = [*PROGRAM, "flash", str(bundle), board.host, *COMMON, "--wheel", str(boards.wheel)]
    with subprocess.Popen(
        command,
        env=boards.bench.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as program:
        deadline = time.monotonic() + PATIENT_S
        while not when() and program.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.0005)
        os.killpg(program.pid, signal.SIGKILL)


@pytest.mark.slow
def test_the_host_killed_in_the_transfer(
    boards: Made, board: Board, other: Callable[..., Path]
) -> None:
    """The next flash sends what is missing, and no more."""
    before, bundle = board.current, other("second")
    store = board.base / "store"
    shutil.rmtree(store)  # the releases keep their files

    def some() -> bool:
        with contextlib.suppress(FileNotFoundError):  # it has just arrived whole
            return any(path.stat().st_size > 1e6 for path in (store / "partial").glob("*"))
        return False

    host_killed(boards, board, bundle, some)
    assert board.current == before and board.verifies(before)
    done, told = boards.flash(bundle, board)
    assert done.returncode == 0, done.stderr
    row = told["hosts"][board.host]
    assert 0 < row["sent_bytes"] < boards.first["sent_bytes"] - 1e6
    assert board.current == row["release"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "step", ["laid out", "environment", "backend", "verified", "switching", "switched", "healthy"]
)
def test_the_host_killed_after_every_step(
    boards: Made, board: Board, other: Callable[..., Path], step: str
) -> None:
    """The device goes on by itself where it has begun to switch."""
    before, bundle, begun = board.current, other("second"), len(board.steps)
    host_killed(boards, board, bundle, lambda: step in board.steps[begun:])
    assert board.verifies(before)
    check(boards, board, bundle, before)
