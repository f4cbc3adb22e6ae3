"""The commands where torch is not installed, as on a Jetson."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from commands import cure_of
from dreamvla_edge.cli.exit_codes import EXIT_CODES
from dreamvla_edge.runtime.bundle import Bundle
from without_torch import run_without_torch

DREAMVLA = "from dreamvla_edge.cli import main; main()"
HIDE = "import sys; sys.modules.update(dict.fromkeys(sys.argv.pop(1).split()))"
"""Modules that are None cannot be imported."""


@pytest.mark.parametrize("missing", ["torch onnx onnxscript safetensors", "safetensors"])
def test_export_names_the_extra(missing: str, tmp_path: Path) -> None:
    """One message and a command that cures; no traceback."""
    checkpoint = tmp_path / "checkpoint.pth"
    arguments = ["export", checkpoint, "-o", tmp_path / "b", "--data-set", "calvin", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", f"{HIDE}; {DREAMVLA}", missing, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == EXIT_CODES["MissingExtra"] == 11
    found, expected, cure = cure_of(done.stderr)
    assert found.removesuffix(" is not installed") in missing.split()
    assert expected == "the packages of the extra [export]"
    assert cure == "pip install 'dreamvla-edge[export]'"
    written = json.loads(done.stdout)
    assert (written["exit_code"], written["error"]["kind"]) == (11, "MissingExtra")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("missing", "option", "extra"), [("torch", ["--export"], "export"), ("mujoco", [], "sim")]
)
def test_demo_names_the_extra(missing: str, option: list[str], extra: str, tmp_path: Path) -> None:
    """Without it not even the demo's folder is made."""
    code, command = f"{HIDE}; {DREAMVLA}", ["demo", "-o", tmp_path / "demo", *option]
    done = subprocess.run(
        [sys.executable, "-c", code, missing, *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (EXIT_CODES["MissingExtra"], "")
    assert cure_of(done.stderr)[2] == f"pip install 'dreamvla-edge[{extra}]'"
    assert list(tmp_path.iterdir()) == []


def test_demo_needs_no_torch(tmp_path: Path) -> None:
    """Only the shipped bundle and the scene."""
    arguments = ("--tasks", "1", "--seconds", "1", "-o", str(tmp_path / "demo"), "--json")
    done = run_without_torch(DREAMVLA, "demo", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["success"]["tasks"] == 1


@pytest.mark.parametrize("command", ["export", "demo"])
def test_without_the_folders_of_the_extra(command: str, tmp_path: Path) -> None:
    """Where an image for a robot leaves out `model/` and `export/` too."""
    arguments = {
        "export": ["x.pth", "-o", "b", "--data-set", "calvin"],
        "demo": ["--export", "-o", str(tmp_path / "demo")],
    }
    done = run_without_torch(DREAMVLA, command, *arguments[command])
    assert (done.returncode, done.stdout) == (EXIT_CODES["MissingExtra"], "")
    assert cure_of(done.stderr) == (
        "dreamvla_edge.export is not installed",
        "the packages of the extra [export]",
        "pip install 'dreamvla-edge[export]'",
    )


def test_the_other_commands_do_not_need_it(tiny: Bundle) -> None:
    """Help, inspect and verify run on the robot."""
    for arguments in (["--help"], ["export", "--help"], ["demo", "--help"]):
        assert run_without_torch(DREAMVLA, *arguments).returncode == 0
    for command in ("inspect", "verify"):
        done = run_without_torch(DREAMVLA, command, str(tiny.path))
        assert (done.returncode, done.stderr) == (0, "")
        assert "backbone" in done.stdout
