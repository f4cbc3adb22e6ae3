"""`dreamvla arm calibrate`: the one command that writes what servos store, and only when asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from commands import cure_of, document, dreamvla
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.robot import load_robot
from dreamvla_edge.sim.bus_process import BusProcess
from robot.servo_hand import Talk, calibrate_by_hand

SO101 = load_description("so101")
NAMES = [*(joint.name for joint in SO101.joints), "gripper"]
OFF = 37  # steps by which every servo's horn sits wrong


def eeprom_writes(bus: BusProcess) -> int:
    """Of all servos together."""
    return sum(int(bus.command(f"eeprom {servo}")) for servo in SO101.servos)


def test_by_hand(bus: BusProcess, robot: Path) -> None:
    """Old and new values are shown before; servos, file and a later check then agree."""
    before = robot.read_text()
    talk = calibrate_by_hand(bus, SO101, robot, off=OFF)
    talk.until("[y/N] ")
    assert eeprom_writes(bus) == 0 and robot.read_text() == before
    talk.type("y")
    code, shown, error = talk.end()
    assert code == 0, error
    rows = [line.split() for line in shown.splitlines()]
    assert ["shoulder_pan", "1", "homing_offset", "0", str(OFF)] in rows
    assert robot.read_text().startswith(before.rstrip("\n"))
    found = load_robot(robot).arm.calibration
    assert list(found) == NAMES
    for name, servo in zip(NAMES, SO101.servos, strict=True):
        one = found[name]
        assert one.homing_offset == pytest.approx(OFF, abs=33)  # wrist_roll starts off its middle
        assert (one.lower_step + one.upper_step) / 2 == pytest.approx(2048, abs=1.5)
        assert int(bus.command(f"eeprom {servo}")) > 0
    checked = dreamvla("arm", "limits", robot, "--json")
    shown_limits = document(checked)
    assert "stored_unknown" not in shown_limits
    stored = shown_limits["stored"]
    for name, servo in zip(NAMES, SO101.servos, strict=True):
        values = stored[str(servo)]
        assert values["homing_offset"] == found[name].homing_offset
        ends = (values["min_position"], values["max_position"])
        assert ends == (found[name].lower_step, found[name].upper_step)


def test_nothing_is_written_without_a_yes(bus: BusProcess, robot: Path) -> None:
    """Neither to a servo nor to the file; the values are shown wherever the answer is asked for."""
    before = robot.read_text()
    talk = calibrate_by_hand(bus, SO101, robot, "--json", off=OFF)
    talk.until("shoulder_pan (servo 1) homing_offset: 0 -> 37\n")  # the table is not in the JSON
    talk.until("[y/N] ")
    talk.type("n")
    code, shown, _ = talk.end()
    assert code == 130 and json.loads(shown)["error"]["kind"] == "Interrupted"
    assert eeprom_writes(bus) == 0 and robot.read_text() == before


def test_a_servo_that_fails_while_it_is_written_to(bus: BusProcess, robot: Path) -> None:
    """The others get their old values back: half a calibration would be a wrong angle."""
    before = robot.read_text()
    talk = calibrate_by_hand(bus, SO101, robot, off=OFF)
    talk.until("[y/N] ")
    bus.command("fault 4 off")
    talk.type("y")
    code, _, error = talk.end()
    assert code == 8 and "4" in cure_of(error)[0]
    assert int(bus.command("eeprom 3")) > 0 and robot.read_text() == before
    bus.command("fault 4 ok")
    stored = document(dreamvla("arm", "limits", robot, "--json"))["stored"]
    ends = {(v["homing_offset"], v["min_position"], v["max_position"]) for v in stored.values()}
    assert ends == {(0, 0, 4095)}


def test_a_terminal_that_is_closed(bus: BusProcess, robot: Path) -> None:
    """In the middle of the motion."""
    before = robot.read_text()
    talk = Talk(robot, "--yes")
    for _ in range(2):
        talk.until("press Enter.\n")
        talk.type("")
    talk.until("press Enter.\n")
    assert talk.end()[0] == 130
    assert eeprom_writes(bus) == 0 and robot.read_text() == before


def test_an_arm_that_was_not_moved(bus: BusProcess, robot: Path) -> None:
    """Is an error that names every joint; nothing is written."""
    before = robot.read_text()
    talk = Talk(robot, "--yes")
    for _ in range(3):
        talk.until("press Enter.\n")
        talk.type("")
    code, _, error = talk.end()
    assert code == 8
    assert all(f"{name} was moved 0°" in error for name in NAMES)
    assert eeprom_writes(bus) == 0 and robot.read_text() == before


def lerobot(folder: Path, offsets: list[int]) -> Path:
    """A LeRobot calibration called `mine`."""
    file = folder / "robots" / "so101_follower" / "mine.json"
    file.parent.mkdir(parents=True)
    motors = {
        name: {
            "id": servo,
            "drive_mode": 0,
            "homing_offset": offset,
            "range_min": 800 + servo,
            "range_max": 3300 - servo,
        }
        for name, servo, offset in zip(NAMES, SO101.servos, offsets, strict=True)
    }
    file.write_text(json.dumps(motors))
    return folder


def test_the_calibration_of_lerobot(
    bus: BusProcess, robot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is taken if its offsets are those in the servos, of which none is written to."""
    monkeypatch.setenv("HF_LEROBOT_CALIBRATION", str(lerobot(tmp_path / "lerobot", [0] * 6)))
    done = dreamvla("arm", "calibrate", robot, "--lerobot-id", "mine")
    assert (done.returncode, done.stderr) == (0, "")
    found = load_robot(robot).arm.calibration
    assert (found["gripper"].lower_step, found["gripper"].upper_step) == (806, 3294)
    assert eeprom_writes(bus) == 0


def test_the_calibration_of_another_arm(
    bus: BusProcess, robot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is refused: with its offsets every angle would be wrong."""
    before = robot.read_text()
    offsets = [0, 0, -120, 0, 0, 7]
    monkeypatch.setenv("HF_LEROBOT_CALIBRATION", str(lerobot(tmp_path / "lerobot", offsets)))
    done = dreamvla("arm", "calibrate", robot, "--lerobot-id", "mine")
    assert done.returncode == 13
    found = cure_of(done.stderr)[0]
    assert "elbow_flex -120 (servo 3 has 0), gripper 7 (servo 6 has 0)" in found
    assert "shoulder_pan" not in found
    assert eeprom_writes(bus) == 0 and robot.read_text() == before
