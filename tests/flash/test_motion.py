"""An arm that moves while somebody flashes: refused, or held first."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from desk import until
from dreamvla_edge.cli.exit_codes import EXIT_CODES
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.sim.writes import read_writes
from flash.board import Bench, Board
from flash.conftest import Made

GOAL, TORQUE = 42, 40
SERVOS = load_description("so101").servos
TOOL = "/opt/dreamvla/arm/current/venv/bin/dreamvla"


@pytest.fixture
def moving(made: Made, tmp_path: Path) -> Iterator[Board]:
    """A flashed board with an arm of its own, which may be written to."""
    bench = Bench(tmp_path)
    assert made.template is not None
    board = Board(bench, "moving", "6", made.template)
    board.boot()
    yield board
    complaints = board.complaints
    board.stop()
    bench.bus.close()
    assert complaints == ""


def goals(board: Board) -> int:
    """How many goals its arm has been given."""
    return sum(write["address"] == GOAL for write in read_writes(board.bench.log))


def moves(board: Board) -> bool:
    """Whether goals keep coming."""
    before = goals(board)
    until(lambda: goals(board) > before + 10 * len(SERVOS))
    return True


@pytest.mark.slow
def test_flash_refuses_while_the_service_drives(
    made: Made, moving: Board, other: Callable[..., Path]
) -> None:
    """With --stop-arm it is held first, with torque, and stays so; the service waits again."""
    before, bench = moving.current, moving.bench
    started = bench.run("start", moving.host, "--instruction", "push the red block")
    assert started.returncode == 0, started.stderr
    assert moves(moving)
    words = (other("second"), moving.host, "--service-user", "root", "--offline")
    refused = bench.flash(*words, "--wheel", made.wheel)
    assert refused.returncode == EXIT_CODES["DeviceError"] and "--stop-arm" in refused.stderr
    assert moves(moving) and moving.current == before
    done = bench.flash(*words, "--wheel", made.wheel, "--stop-arm")
    assert done.returncode == 0, done.stderr
    assert moving.current != before and moving.status()["state"] == "stop"
    assert "stopped" in moving.steps
    last = goals(moving)
    assert bench.run("rollback", moving.host).returncode == 0
    assert goals(moving) == last
    torque = {w["servo"]: w["data"] for w in read_writes(bench.log) if w["address"] == TORQUE}
    assert torque == {servo: [1] for servo in SERVOS}


@pytest.mark.slow
def test_flash_sees_a_run_that_somebody_else_started(
    made: Made, moving: Board, other: Callable[..., Path]
) -> None:
    """It finds the guardian by the robot file; stopping it is latched."""
    before, bench = moving.current, moving.bench
    robot = "/etc/dreamvla/arm/robot.toml"
    line = f"{TOOL} run /opt/dreamvla/arm/current/bundle --robot {robot} --instruction push"
    command = ["ssh", moving.host, line]
    run = subprocess.Popen(command, env=bench.environment, stdin=subprocess.DEVNULL)
    try:
        assert moves(moving)
        words = (other("second"), moving.host, "--service-user", "root", "--offline")
        refused = bench.flash(*words, "--wheel", made.wheel)
        assert refused.returncode == EXIT_CODES["DeviceError"], refused.stdout
        assert "the arm moves (its guardian is in" in refused.stderr
        assert moving.current == before
        done = bench.flash(*words, "--wheel", made.wheel, "--stop-arm")
        assert done.returncode == 0, done.stderr
        told = moving.ssh(TOOL, "arm", "monitor", robot, "--seconds", "1", "--json")
        assert json.loads(told)["state"] == "STOP"
    finally:
        run.kill()
        run.wait()
    assert moving.current != before
