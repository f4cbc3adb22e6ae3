"""`dreamvla flash` and `rollback` against a real sshd in front of what looks like a Jetson."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import cure_of
from dreamvla_edge.cli.exit_codes import EXIT_CODES
from dreamvla_edge.demo import BUNDLE
from dreamvla_edge.deploy.device.releases import relink
from dreamvla_edge.deploy.device.unit import drop_in_text, unit_text
from flash.board import Board
from flash.conftest import Made

DEVICE_ERROR = EXIT_CODES["DeviceError"]


def test_the_first_install(made: Made) -> None:
    """What the template went through."""
    told = made.first
    assert told["result"] == "installed" and told["before"] is None
    assert told["backend"] == "onnxruntime"
    assert told["sent_bytes"] > sum(path.stat().st_size for path in BUNDLE.iterdir())
    assert {row["name"] for row in told["preflight"]} >= {"board", "jetpack", "disk", "arm"}
    assert [row["level"] for row in told["preflight"] if row["name"] == "board"] == ["ok"]
    steps = ["laid out", "environment", "backend", "verified", "switching", "switched", "healthy"]
    assert made.template is not None and made.template.steps == [*steps, "pruned"]
    first = told["notified"].split("\n--\n")[0].split("\n")
    assert first == ["READY=1", "STATUS=stop: waiting"]
    assert told["complaints"] == ""
    unit = made.template.folder / "layers/etc/upper/systemd/system/dreamvla@.service"
    assert unit.read_text() == unit_text(user=False)
    assert (unit.parent / "dreamvla@arm.service.d/user.conf").read_text() == drop_in_text("root")


def test_no_change(boards: Made, board: Board) -> None:
    """The same again: nothing is sent, and not a line is added to the journal."""
    journal = (board.base / "journal.jsonl").read_bytes()
    done, told = boards.flash(BUNDLE, board)
    assert done.returncode == 0, done.stderr
    assert told["hosts"][board.host]["result"] == "no change"
    assert (board.base / "journal.jsonl").read_bytes() == journal


def test_update_and_roll_back(boards: Made, board: Board, other: Callable[..., Path]) -> None:
    """Only what differs is sent; the way back is one command; the robot's settings stay."""
    settings = board.settings / "robot.toml"
    before, robot = board.current, settings.read_bytes()
    bundle = other("second")
    done, told = boards.flash(bundle, board)
    row = told["hosts"][board.host]
    assert done.returncode == 0, done.stderr
    assert (row["result"], row["before"]) == ("installed", before)
    assert row["sent_bytes"] == (bundle / "bundle.json").stat().st_size
    assert board.current == row["release"] != before
    status = board.status()
    assert status["state"] == "stop" and row["release"] in status["bundle"]
    back = boards.bench.run("rollback", board.host, "--json")
    assert back.returncode == 0, back.stderr
    assert json.loads(back.stdout)["release"] == board.current == before
    assert before in board.status()["bundle"]
    assert settings.read_bytes() == robot
    again = boards.bench.run("rollback", board.host)  # what was withdrawn is no way back
    assert again.returncode == DEVICE_ERROR and "no release before" in again.stderr


def test_a_wrong_board(boards: Made) -> None:
    """JetPack 5: refused with a cure before a folder is made."""
    board = boards.new("5", fresh=True)
    done, told = boards.flash(BUNDLE, board)
    assert done.returncode == DEVICE_ERROR
    found, expected, cure = cure_of(done.stderr)
    assert "L4T 35.4.1, JetPack 5" in found and "JetPack 6.1" in expected and "SDK" in cure
    row = told["hosts"][board.host]
    assert row["result"] == "failed" and cure == row["cure"]
    assert [r["name"] for r in row["preflight"] if r["level"] == "error"] == ["jetpack"]
    assert not board.base.exists()


def test_a_full_disk(boards: Made, board: Board, other: Callable[..., Path]) -> None:
    """Said before anything is sent where it shows, and on the way where it does not."""
    before = board.current
    board.ssh("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", "/opt/dreamvla/arm/store")
    full, _ = boards.flash(other("second"), board)
    assert full.returncode == DEVICE_ERROR
    assert "no space left on the disk of /opt/dreamvla/arm/store" in cure_of(full.stderr)[0]
    assert board.current == before
    board.ssh("umount", "/opt/dreamvla/arm/store")
    board.ssh("mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", "/opt/dreamvla/arm")
    seen, _ = boards.flash(other("second"), board)
    assert seen.returncode == DEVICE_ERROR and "GB free at /opt/dreamvla/arm" in seen.stderr


def test_golden_data_that_fails(boards: Made, board: Board, other: Callable[..., Path]) -> None:
    """A bundle that computes something else than its network is never in force."""
    before = board.current
    done, _ = boards.flash(other("wrong", weight=True), board)
    found, _, cure = cure_of(done.stderr)
    assert done.returncode == DEVICE_ERROR
    assert "dreamvla verify" in found and "nothing was switched" in cure
    assert board.current == before and "switching" not in board.steps[8:]
    assert board.status()["state"] == "stop" and before in board.status()["bundle"]


@pytest.mark.slow
def test_a_latency_gate_that_fails(boards: Made, board: Board, other: Callable[..., Path]) -> None:
    """0.1 ms is beyond every machine; the figure is told, and nothing switched."""
    before = board.current
    done, _ = boards.flash(other("second"), board, budget_ms=0.1)
    found, expected, cure = cure_of(done.stderr)
    assert done.returncode == DEVICE_ERROR
    assert "a policy step takes" in found and "at most 0.1 ms" in expected
    assert board.current == before and board.steps[-1] == "gated"


@pytest.mark.slow
def test_a_service_that_does_not_come_up(
    boards: Made, board: Board, other: Callable[..., Path], tmp_path: Path
) -> None:
    """A version of the tool whose service crashes: the device goes back by itself."""
    before = board.current
    done, _ = boards.flash(other("second"), board, wheel=boards.broken_wheel(tmp_path))
    found, _, cure = cure_of(done.stderr)
    assert done.returncode == DEVICE_ERROR
    assert "does not start" in found and "a defect" in found and f"{before} is in force" in cure
    assert board.current == before and board.steps[-1] == "withdrawn"
    assert board.status()["state"] == "stop" and before in board.status()["bundle"]


@pytest.mark.slow
def test_an_update_that_changes_python(boards: Made, board: Board) -> None:
    """As from JetPack 6 to 7: up, in stop, with the cure in `status`; what it says helps."""
    (made,) = (board.base / "environments").iterdir()
    before = made.with_name("before")
    made.rename(before)
    (lib,) = (before / "lib").iterdir()
    lib.rename(before / "lib" / "python3.8")
    release = board.base / "releases" / board.current
    relink(release / "venv", Path("..") / ".." / "environments" / "before")
    board.boot()
    status = board.status()
    assert status["state"] == "stop" and status["bundle"].endswith(f"{release.name}/bundle")
    assert "was installed for Python 3.8" in status["error"]["found"]
    told = boards.bench.run("status", board.host)
    assert "what to do: flash the bundle again" in told.stdout and told.returncode == 0
    refused = boards.bench.run("start", board.host, "--instruction", "push the red block")
    assert refused.returncode == DEVICE_ERROR
    assert cure_of(refused.stderr)[2] == status["error"]["cure"]
    done, row = boards.flash(BUNDLE, board)
    assert row["hosts"][board.host]["result"] == "installed", done.stderr
    assert board.status()["error"] is None and not before.exists()


def test_three_hosts_of_which_one_is_down(boards: Made) -> None:
    """The others are done all the same; the exit code is that of an error."""
    six, seven = boards.new(), boards.new("7")
    done, told = boards.flash(BUNDLE, six, "down", seven)
    rows = told["hosts"]
    assert done.returncode == DEVICE_ERROR
    assert [rows[host.host]["result"] for host in (six, seven)] == ["no change"] * 2
    assert rows["down"]["result"] == "failed" and "ssh" in rows["down"]["why"]
    assert "1 of 3 failed" in done.stderr
    thor = {row["name"]: row["found"] for row in rows[seven.host]["preflight"]}
    assert "Thor" in thor["board"] and "JetPack 7.0" in thor["jetpack"]


def test_dry_run_changes_nothing(boards: Made) -> None:
    """It lists what is run as root, and that is all there is."""
    board = boards.new("7", fresh=True)
    done, told = boards.flash(BUNDLE, board, dry_run=True)
    row = told["hosts"][board.host]
    assert done.returncode == 0 and row["result"] == "would install", done.stderr
    programs = {line.split()[0] for line in row["privileged"]}
    assert programs == {"install", "mv", "systemctl"}
    assert not board.base.exists()


def test_an_unknown_host_key(boards: Made) -> None:
    """Host keys are checked as the user's ssh does."""
    board = boards.new("6", fresh=True)
    (boards.bench.folder / "known_hosts").rename(boards.bench.folder / "aside")
    done, _ = boards.flash(BUNDLE, board)
    (boards.bench.folder / "aside").rename(boards.bench.folder / "known_hosts")
    assert done.returncode == DEVICE_ERROR and "Host key verification failed" in done.stderr


@pytest.mark.slow
def test_the_device_flashes_itself(boards: Made, board: Board) -> None:
    """`localhost` is the same way without ssh; an installed tool packs itself."""
    tool = "/opt/dreamvla/arm/current/venv/bin/dreamvla"
    words = (tool, "flash", "demo", "localhost", "--name", "second", "--json")
    told = json.loads(board.ssh(*words, "--service-user", "root", "--offline"))
    row = told["hosts"]["localhost"]
    assert row["result"] == "installed"
    place = board.folder / "opt/dreamvla/second"
    assert (place / "current").resolve().name or row["release"]
    status = json.loads(board.ssh(tool, "status", "--name", "second", "--json"))
    assert status["state"] == "stop" and not status["has_robot"]
