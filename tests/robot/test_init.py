"""`dreamvla robot init`: a file that works, or none at all."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
from click.testing import CliRunner

from commands import cure_of, document, dreamvla, entries
from dreamvla_edge.cli.command import group
from dreamvla_edge.cli.report import Report
from dreamvla_edge.runtime.arms.adapters import Adapter
from dreamvla_edge.runtime.robot import load_robot
from dreamvla_edge.sim.bus_process import BusProcess


def test_a_virtual_robot_passes_its_check(tmp_path: Path) -> None:
    """On a machine with neither arm nor camera."""
    done = dreamvla("robot", "init", "--virtual", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert document(done)["port"] == "virtual"
    assert entries(tmp_path) == {"robot.toml"}
    checked = dreamvla("robot", "check", "robot.toml", "--json", cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    findings = document(checked)["findings"]
    assert document(checked)["good"] and all(row["good"] for row in findings)
    assert {"arm", "gripper", "wrist_roll angle", "wrist rate"} <= {r["check"] for r in findings}


def test_the_arm_on_a_port(bus: BusProcess, tmp_path: Path) -> None:
    """Its servos answer; a camera that is missing is said to be missing."""
    file = tmp_path / "arm.toml"
    done = dreamvla("robot", "init", "--port", bus.port, "-o", file, "--name", "left arm")
    assert (done.returncode, done.stderr) == (0, "")
    robot = load_robot(file)
    assert (robot.name, robot.arm.type, robot.arm.port) == ("left arm", "so101", bus.port)
    assert ("cameras found" in done.stdout) == ("not-connected" in file.read_text())
    assert bus.command("eeprom 1") == "0"


def test_a_description_of_ones_own(bus: BusProcess, tmp_path: Path) -> None:
    """Is named by its path from the robot file, wherever the command was called."""
    (tmp_path / "kinds").mkdir()
    shipped = files("dreamvla_edge.runtime.arms") / "so101.toml"
    (tmp_path / "kinds" / "mine.toml").write_text(shipped.read_text().replace("so101", "mine"))
    (tmp_path / "robots").mkdir()
    arguments = ("--arm", "kinds/mine.toml", "--port", bus.port, "-o", "robots/one.toml")
    done = dreamvla("robot", "init", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert load_robot(tmp_path / "robots" / "one.toml").arm.type == "../kinds/mine.toml"
    assert dreamvla("arm", "limits", tmp_path / "robots" / "one.toml").returncode == 0


def test_an_existing_file_stays(tmp_path: Path) -> None:
    """Unless --force is given."""
    file = tmp_path / "robot.toml"
    file.write_text("mine")
    done = dreamvla("robot", "init", "--virtual", "-o", file)
    assert done.returncode == 9 and file.read_text() == "mine"
    assert dreamvla("robot", "init", "--virtual", "-o", file, "--force").returncode == 0
    assert entries(tmp_path) == {"robot.toml"}


@pytest.mark.parametrize("kind", ["koch", "nobody"])
def test_another_arm_than_the_one_connected(bus: BusProcess, tmp_path: Path, kind: str) -> None:
    """No file is written."""
    done = dreamvla("robot", "init", "--arm", kind, "--port", bus.port, "-o", tmp_path / "r.toml")
    found, _, cure = cure_of(done.stderr)
    assert done.returncode == (13 if kind == "koch" else 8)
    assert ("answer no servos" in found) if kind == "koch" else ("so101" in cure)
    assert not (tmp_path / "r.toml").exists()


ONE = Adapter("/dev/ttyACM0", "/dev/serial/by-id/usb-1", "1a86", "55d3", "5A", "cdc_acm")
TWO = Adapter("/dev/ttyACM1", "/dev/serial/by-id/usb-2", "1a86", "55d3", "5B", "cdc_acm")


@pytest.mark.parametrize(
    ("connected", "arguments", "matched"),
    [([ONE], [], "5A"), ([ONE, TWO], ["--port", "/dev/ttyACM1"], "5B")],
)
def test_a_udev_rule(
    connected: list[Adapter],
    arguments: list[str],
    matched: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Only the rule is written, and how to install it is said; nothing runs as root."""
    monkeypatch.setattr("dreamvla_edge.runtime.arms.adapters.adapters", lambda: tuple(connected))
    file = tmp_path / "99.rules"
    runner, line = (
        CliRunner(),
        ["robot", "init", "--udev-rule", str(file), "--name", "left", *arguments],
    )
    done = runner.invoke(group, line, obj=Report())
    assert done.exit_code == 0, done.output
    assert f'ATTRS{{serial}}=="{matched}"' in file.read_text()
    assert 'SYMLINK+="dreamvla-left"' in file.read_text()
    assert f"sudo install -m 644 {file} /etc/udev/rules.d/" in done.output
    assert "sudo udevadm control --reload-rules && sudo udevadm trigger" in done.output
    assert entries(tmp_path) == {"99.rules"}


@pytest.mark.parametrize("connected", [[], [ONE, TWO]])
def test_it_must_be_clear_for_which_adapter(
    connected: list[Adapter], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rule for the wrong one would give it the arm's name."""
    monkeypatch.setattr("dreamvla_edge.runtime.arms.adapters.adapters", lambda: tuple(connected))
    line = ["robot", "init", "--udev-rule", str(tmp_path / "rules")]
    done = CliRunner().invoke(group, line, obj=Report())
    assert type(done.exception).__name__ == "RobotError"
    assert entries(tmp_path) == set()


def test_options_that_exclude_each_other(tmp_path: Path) -> None:
    """A virtual arm has no port."""
    done = dreamvla("robot", "init", "--virtual", "--port", "/dev/ttyACM0", cwd=tmp_path)
    assert done.returncode == 2 and entries(tmp_path) == set()
