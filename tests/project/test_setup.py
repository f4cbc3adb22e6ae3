"""tools/setup.sh says how to get what is missing, and makes nothing then."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from project.sources import ROOT

COMMANDS = ("bash", "basename", "cat", "cmp", "dirname", "head", "rm", "timeout", "uname")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A checkout and, in bin/, all commands that the machine has: a bare Debian, a plain user."""
    (tmp_path / "bin").mkdir()
    for command in COMMANDS:
        found = shutil.which(command)
        assert found is not None, command
        (tmp_path / "bin" / command).symlink_to(found)
    add(tmp_path, "id", "echo 1000")
    add(tmp_path, "apt-get", f'echo "$@" >{tmp_path}/apt-get-was-run')
    (tmp_path / "tools").mkdir()
    shutil.copy(ROOT / "tools" / "setup.sh", tmp_path / "tools")
    for file in ("pyproject.toml", "setup.py", "constraints.txt"):
        (tmp_path / file).write_text(file)
    return tmp_path


def add(machine: Path, command: str, script: str) -> None:
    """Give the machine one more command."""
    path = machine / "bin" / command
    path.write_text(f"#!{machine}/bin/bash\n{script}\n")
    path.chmod(0o755)


def add_python(machine: Path, at: str = "python3.11", lacks: str = "nothing") -> None:
    """A Python 3.11 that logs how it is called and cannot import `lacks`."""
    add(
        machine,
        at,
        f'case "$*" in\n'
        f'    *"import os, sys, {lacks}"*) exit 1 ;;\n'
        f'    -c*) echo "$0" ;;\n'
        f"    --version) echo Python 3.11.0 ;;\n"
        f'    "-m venv"*)\n'
        f'        "{shutil.which("mkdir")}" -p "$3/bin"\n'
        f'        "{shutil.which("cp")}" "$0" "$3/bin/python" ;;\n'
        f'    *) echo "$*" >>{machine}/calls ;;\n'
        f"esac",
    )


def setup(machine: Path) -> subprocess.CompletedProcess[str]:
    """Run the script with nothing but the machine's commands."""
    environment = {"PATH": str(machine / "bin"), "HOME": str(machine)}
    command = [str(machine / "bin" / "bash"), str(machine / "tools" / "setup.sh")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


def installs(machine: Path) -> int:
    """How many times pip was asked to install."""
    calls = machine / "calls"
    return calls.read_text().count("pip install") if calls.exists() else 0


def test_no_python(machine: Path) -> None:
    """Two ways to get one, and an exit code of its own."""
    done = setup(machine)
    assert done.returncode == 3
    assert "sudo apt-get install python3 python3-venv" in done.stderr
    assert "uv python install 3.11" in done.stderr
    assert not (machine / ".venv").exists()


def test_a_plain_user_is_told_the_missing_package(machine: Path) -> None:
    """The exact line; nothing is installed behind the back."""
    add_python(machine, lacks="ensurepip")
    done = setup(machine)
    assert done.returncode == 4
    assert "  sudo apt-get install python3.11-venv\n" in done.stderr
    assert not (machine / "apt-get-was-run").exists()


def test_root_gets_the_missing_package(machine: Path) -> None:
    """As in a container."""
    add(machine, "id", "echo 0")
    add_python(machine, lacks="ensurepip")
    done = setup(machine)
    assert done.returncode == 0, done.stderr
    assert (machine / "apt-get-was-run").read_text() == "install -y python3.11-venv\n"


def test_a_python_of_uv_is_found(machine: Path) -> None:
    """It stands in a folder of its own, not on the PATH."""
    add_python(machine, at="managed")
    add(machine, "uv", f'[ "$*" = "python find --system 3.11" ] && echo {machine}/bin/managed')
    assert setup(machine).returncode == 0
    assert installs(machine) == 1


def test_nothing_is_done_twice(machine: Path) -> None:
    """A changed pin installs again, in place; then again nothing."""
    add_python(machine)
    assert setup(machine).returncode == 0
    (machine / ".venv" / "kept").touch()
    again = setup(machine)
    assert (again.returncode, again.stderr, installs(machine)) == (0, "", 1)
    (machine / "constraints.txt").write_text("numpy==2.4.6")
    assert (setup(machine).returncode, setup(machine).stderr) == (0, "")
    assert installs(machine) == 2
    assert (machine / ".venv" / "kept").exists()


def test_a_half_made_environment_is_made_again(machine: Path) -> None:
    """An interrupted run leaves no stamp."""
    add_python(machine)
    (machine / ".venv").mkdir()
    (machine / ".venv" / "left over").touch()
    assert setup(machine).returncode == 0
    assert not (machine / ".venv" / "left over").exists()


def test_a_moved_checkout_is_made_again(machine: Path) -> None:
    """The scripts in .venv/bin name the folder in which it was made."""
    add_python(machine)
    assert setup(machine).returncode == 0
    (machine / ".venv" / "left over").touch()
    stamp = machine / ".venv" / "installed"
    stamp.write_text(stamp.read_text().replace(str(machine), "/elsewhere", 1))
    assert setup(machine).returncode == 0
    assert not (machine / ".venv" / "left over").exists()
    assert installs(machine) == 2


def test_a_failed_install_is_not_taken_for_done(machine: Path) -> None:
    """The exit code of pip comes through and the next run starts afresh."""
    add_python(machine)
    python = machine / "bin" / "python3.11"
    working = python.read_text()
    python.write_text(
        working.replace("    *) echo", '    "-m pip install"*) exit 9 ;;\n    *) echo')
    )
    assert setup(machine).returncode == 9
    assert not (machine / ".venv" / "installed").exists()
    python.write_text(working)
    assert setup(machine).returncode == 0
    assert (machine / ".venv" / "installed").stat().st_size > 0
