"""Who flashes and is not root: what is listed is all that sudo runs, and it is asked first."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from commands import cure_of
from desk import Terminal
from dreamvla_edge.cli.exit_codes import EXIT_CODES
from dreamvla_edge.demo import BUNDLE
from dreamvla_edge.deploy.connection import Connection
from flash.board import Board
from flash.conftest import Made

LOGIN, PASSWORD = "robot", "secret"
LOG = "/var/log/sudo.log"
RAN = re.compile(rf" : {LOGIN} : (?:TTY=\S+ ; )?PWD=.* ; USER=root ; COMMAND=(.*)")
"""A line about what was run; of what was not, the reason stands before PWD."""
DEVICE_ERROR = EXIT_CODES["DeviceError"]


@pytest.fixture
def board(boards: Made) -> Board:
    """Nothing is installed there, and ssh logs in as somebody whom sudo does not know."""
    return boards.new(fresh=True, login=LOGIN)


def allow(board: Board, *rules: str) -> None:
    """Writes sudo's own settings; root does."""
    lines = [f"Defaults logfile={LOG}, loglinelen=0", *(f"{LOGIN} ALL=(root) {r}" for r in rules)]
    text = shlex.quote("\n".join(lines) + "\n")
    board.ssh(
        "sh",
        "-c",
        f"rm -f /etc/sudoers.d/test; umask 227; printf %s {text} >/etc/sudoers.d/test",
        login="root",
    )
    board.ssh("visudo", "-c", login="root")


def rule(line: str, release: str) -> str:
    """That allows one line of --dry-run, of any release."""
    program, _, rest = line.removeprefix("sudo ").partition(" ")
    place = "/usr/local/bin" if program == "systemctl" else "/usr/bin"
    escaped = re.sub(r"([,:=\\])", r"\\\1", rest).replace(release, "*")
    return f"NOPASSWD: {place}/{program} {escaped}"


def sudo_ran(board: Board) -> list[str]:
    """Lines that sudo has run, by its own log, which is emptied."""
    log = board.ssh("cat", LOG, login="root")
    board.ssh("rm", LOG, login="root")
    ran = [command for command in RAN.findall(log) if not command.startswith("list ")]
    return [f"sudo {Path(c.split()[0]).name} {c.partition(' ')[2]}" for c in ran]


def flash(
    boards: Made, bundle: Path, board: Board, *words: object
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """As `Made.flash`, for a service that runs as who logs in."""
    done = boards.bench.flash(bundle, board.host, "--offline", "--wheel", boards.wheel, *words)
    return done, json.loads(done.stdout)["hosts"][board.host]


def test_a_user_without_rights(boards: Made, board: Board) -> None:
    """It is said in the preflight, with what to do; the lines are listed; nothing is made."""
    for words in ((), ("--dry-run",)):
        done, row = flash(boards, BUNDLE, board, *words)
        found, expected, cure = cure_of(done.stderr)
        assert done.returncode == DEVICE_ERROR and row["result"] == "failed"
        assert "root: sudo does not let this user run `install -d" in found
        assert "all lines of --dry-run" in expected
        assert "--ask-sudo" in cure and "sudoers" in cure and "--user" in cure
        assert {line.split()[0] for line in row["privileged"]} == {"sudo"}
        assert not board.base.exists()


def test_passwords(boards: Made, board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one that is right; not without, with a wrong one, or where some line is not allowed."""
    monkeypatch.setenv("PATH", boards.bench.environment["PATH"])

    def refused(password: str) -> str:
        with Connection(board.host) as connection:
            connection.ask("hello", name="arm", user=False, ask_sudo=password)
            answer = connection.ask("permitted", owner=LOGIN, release="r")["refused"]
            return "" if answer is None else str(answer["found"])

    assert "may not run sudo" in refused(PASSWORD)
    allow(board, "ALL")
    assert "a password is required" in refused("")
    assert "incorrect password" in refused("wrong") or "no password" in refused("wrong")
    assert refused(PASSWORD) == ""
    allow(board, "NOPASSWD: /usr/bin/install, /usr/local/bin/systemctl")
    assert "run `mv -f" in refused("")


@pytest.mark.slow
def test_nothing_but_the_listed_lines(
    boards: Made, board: Board, other: Callable[..., Path], tmp_path: Path
) -> None:
    """Where sudo allows these and no other all goes through, and it has run just these."""
    broken = ("--wheel", boards.broken_wheel(tmp_path))
    _, row = flash(boards, BUNDLE, board, "--dry-run", *broken)
    lines = row["privileged"]
    rules = [rule(line, row["release"]) for line in lines]
    allow(board, *rules)
    done, row = flash(boards, BUNDLE, board, *broken)
    assert done.returncode == DEVICE_ERROR and "nothing is installed, as before" in done.stderr
    assert sudo_ran(board) == lines
    done, row = flash(boards, BUNDLE, board)
    assert done.returncode == 0 and row["result"] == "installed", done.stderr
    starts = lines[-4:-1]
    assert sudo_ran(board) == starts
    assert board.ssh("pgrep", "-u", LOGIN, "-f", "dreamvla serve").strip()
    assert (board.base / "current").lstat().st_uid == int(board.ssh("id", "-u")) != 0
    assert board.status()["state"] == "stop"
    done, row = flash(boards, BUNDLE, board)
    assert row["result"] == "no change", done.stderr
    done, row = flash(boards, other("second"), board)
    assert row["result"] == "installed", done.stderr
    allow(board)
    back = boards.bench.run("rollback", board.host)
    assert back.returncode == DEVICE_ERROR and "sudo does not let this user" in back.stderr
    assert board.current == row["release"] and board.current in board.status()["bundle"]
    allow(board, *rules)
    back = boards.bench.run("rollback", board.host)
    assert back.returncode == 0, back.stderr
    assert sudo_ran(board) == starts * 2


@pytest.mark.slow
def test_a_password_that_is_asked_for(
    boards: Made, board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, on the terminal."""
    monkeypatch.setenv("PATH", boards.bench.environment["PATH"])
    allow(board, "ALL")
    words = (BUNDLE, board.host, "--offline", "--wheel", boards.wheel, "--ask-sudo", "--json")
    terminal = Terminal(tmp_path / "stdout", "flash", *words)
    terminal.see("sudo password: ")
    terminal.type(f"{PASSWORD}\n")
    code, told = terminal.end()
    assert code == 0 and told["hosts"][board.host]["result"] == "installed"
    *listed, last = told["hosts"][board.host]["privileged"]
    assert sudo_ran(board) == listed and "disable --now" in last


@pytest.mark.slow
def test_for_one_user_alone(boards: Made, board: Board) -> None:
    """The cure: sudo is not even asked, and nothing is made outside the user's home."""
    allow(board)
    done, row = flash(boards, BUNDLE, board, "--user")
    assert done.returncode == 0 and row["result"] == "installed", done.stderr
    assert row["privileged"] == [] and not board.base.exists()
    seen, row = flash(boards, BUNDLE, board, "--user", "--dry-run")
    assert row["result"] == "no change", seen.stderr
    status = boards.bench.run("status", board.host, "--user", "--json")
    assert json.loads(status.stdout)["state"] == "stop", status.stderr
    board.ssh("test", "!", "-e", LOG, login="root")
