"""`arm stop|clear|lower|monitor|home|limits|virtual` with real guardians and real servos' bytes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from commands import cure_of, document, dreamvla, on_terminal
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.arms.steps import radians_from_steps
from dreamvla_edge.runtime.guardian.process import GuardianProcess
from dreamvla_edge.sim.bus_process import BusProcess

REST = [0.2, -0.3, 0.25, 0.1, -0.15]


@pytest.fixture
def rested(robot: Path) -> Path:
    """The robot file with a rest pose."""
    robot.write_text(robot.read_text().replace("\n[arm]\n", f"\n[arm]\nrest = {REST}\n", 1))
    return robot


@pytest.fixture
def guarded(rested: Path) -> Iterator[Path]:
    """The robot file of an arm whose guardian runs, in the state HOLD."""
    with GuardianProcess(rested, ordinary=True):
        deadline = time.monotonic() + 10
        while (
            document(dreamvla("arm", "monitor", rested, "--seconds", 0.1, "--json"))["state"]
            != "HOLD"
        ):
            assert time.monotonic() < deadline
        yield rested


def angles(bus: BusProcess) -> list[float]:
    """Where the joints really are [rad]."""
    return [
        radians_from_steps(
            round(float(bus.command(f"position {j.servo}"))), j.zero_step, j.direction
        )
        for j in load_description("so101").joints
    ]


def fastest_rad_s(log: Path, servo: int) -> float:
    """Largest speed over 0.2 s by the bus's own log: at each step a servo is faster."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    motion = [
        (line["ns"] / 1e9, line["motion"][str(servo)][0]) for line in lines if "motion" in line
    ]
    times_s, positions = np.array(motion).T
    grid = np.arange(times_s[0], times_s[-1], 0.2)
    return float(np.abs(np.diff(np.interp(grid, times_s, positions))).max() / 0.2)


def state_after(*arguments: object) -> str:
    """The guardian's state after an order that must be carried out."""
    done = dreamvla("arm", *arguments, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found: str = document(done)["state"]
    return found


def test_stop_clear_and_lower(bus: BusProcess, guarded: Path) -> None:
    """A stop is latched until it is cleared; lowering ends at the rest pose without torque."""
    assert state_after("stop", guarded) == "STOP"
    watched = document(dreamvla("arm", "monitor", guarded, "--seconds", 0.3, "--json"))
    assert (watched["from"], watched["state"]) == ("guardian", "STOP")
    assert watched["reason"] == "dreamvla arm stop"
    assert [servo["name"] for servo in watched["servos"]][-1] == "gripper"
    assert watched["servos"][0]["voltage_v"] == pytest.approx(12.0, abs=0.5)
    assert state_after("clear", guarded) == "HOLD"
    assert state_after("lower", guarded) == "LIMP"
    assert angles(bus) == pytest.approx(REST, abs=0.03)
    bus.command("gravity 2 0.9")  # without torque it falls
    time.sleep(0.3)
    assert abs(angles(bus)[1] - REST[1]) > 0.1


def test_the_port_belongs_to_the_guardian(bus: BusProcess, guarded: Path) -> None:
    """Whoever needs it is told so; limits are shown without what the servos have stored."""
    home = dreamvla("arm", "home", guarded)
    assert home.returncode == 14
    assert "a guardian runs for this arm" in cure_of(home.stderr)[0]
    calibrate = dreamvla("arm", "calibrate", guarded)
    assert calibrate.returncode == 8
    assert "dreamvla_edge.runtime.guardian" in cure_of(calibrate.stderr)[0]
    limits = dreamvla("arm", "limits", guarded, "--json")
    assert limits.returncode == 0
    assert "is used by process" in document(limits)["stored_unknown"]
    assert document(limits)["stored"] == {}


@pytest.mark.parametrize("order", ["stop", "clear", "lower"])
def test_an_order_needs_a_guardian(robot: Path, order: str) -> None:
    """Nobody else moves the arm."""
    done = dreamvla("arm", order, robot)
    assert done.returncode == 14
    assert "no guardian listens" in cure_of(done.stderr)[0]


def test_an_order_that_is_not_carried_out(bus: BusProcess, guarded: Path) -> None:
    """A cable that is out: clear leaves the arm in FAULT, and the error says why."""
    bus.command("unplug")
    time.sleep(0.5)
    done = dreamvla("arm", "clear", guarded)
    assert done.returncode == 14
    assert "FAULT" in cure_of(done.stderr)[0]


def test_home(bus: BusProcess, rested: Path) -> None:
    """Every joint ends at rest and is held there; the way is slower than the limits allow."""
    done = dreamvla("arm", "home", rested, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert 0.2 < fastest_rad_s(rested.parent / "bus.log", 2) < 0.3  # a quarter of 1 rad/s
    assert angles(bus) == pytest.approx(REST, abs=0.01)
    assert document(done)["after"] == pytest.approx(REST, abs=0.01)
    bus.command("gravity 2 0.5")
    time.sleep(0.2)
    assert angles(bus) == pytest.approx(REST, abs=0.01)  # held: torque is on


def test_home_against_an_obstacle(bus: BusProcess, rested: Path) -> None:
    """Is an error that says where the arm is, not success."""
    bus.command("fault 1 stuck")
    done = dreamvla("arm", "home", rested)
    assert done.returncode == 14
    assert "not at rest" in cure_of(done.stderr)[0]


def test_a_rest_pose_below_the_table(rested: Path) -> None:
    """Would never be reached: the workspace ends above it."""
    low = [0.0, -1.7, 1.6, 1.2, 0.0]
    rested.write_text(rested.read_text().replace(f"rest = {REST}", f"rest = {low}"))
    done = dreamvla("arm", "home", rested)
    assert done.returncode == 13
    assert "puts the tool point at [0.153, 0.0, 0.003] m" in cure_of(done.stderr)[0]


def test_home_without_a_rest_pose(robot: Path) -> None:
    """Nobody guesses where the arm may lie down."""
    done = dreamvla("arm", "home", robot)
    assert done.returncode == 13
    assert "no rest pose" in cure_of(done.stderr)[0]


def test_monitor_without_a_guardian(bus: BusProcess, robot: Path) -> None:
    """Reads the arm itself, and leaves its torque and its goals alone."""
    bus.command("set 6 63 41")
    done = dreamvla("arm", "monitor", robot, "--seconds", 0.5, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = document(done)
    assert (found["from"], found["samples"] >= 2) == ("arm", True)
    assert found["servos"][-1]["temperature_c"] == 41
    bus.command("gravity 2 0.9")
    time.sleep(0.3)
    assert abs(angles(bus)[1]) > 0.1  # as limp as before


def test_monitor_on_a_terminal(robot: Path) -> None:
    """The table is drawn over again."""
    code, shown = on_terminal("arm", "monitor", robot, "--seconds", "0.7")
    assert code == 0
    assert shown.count("shoulder_pan") >= 3 and "\x1b[2J" in shown


def test_limits_and_where_they_come_from(bus: BusProcess, robot: Path) -> None:
    """A calibration and the servo's own stops narrow what the description allows."""
    text = robot.read_text() + (
        "\n[arm.calibration.elbow_flex]\nhoming_offset = 0\nlower_step = 1500\nupper_step = 2600\n"
    )
    robot.write_text(text)
    for address, value in ((9, 1000 & 255), (10, 1000 >> 8), (11, 3000 & 255), (12, 3000 >> 8)):
        bus.command(f"set 1 {address} {value}")
    done = dreamvla("arm", "limits", robot)
    assert "note: the servo of shoulder_pan itself goes from -1.608 to 1.460 rad" in done.stdout
    joints = {j["name"]: j for j in document(dreamvla("arm", "limits", robot, "--json"))["joints"]}
    assert joints["elbow_flex"]["range_from"] == "calibration"
    width = joints["elbow_flex"]["upper_rad"] - joints["elbow_flex"]["lower_rad"]
    assert width == pytest.approx(1100 / 4096 * 6.283185, abs=1e-3)
    assert joints["shoulder_pan"]["range_from"] == "so101"
    assert joints["shoulder_pan"]["servo_upper_rad"] == pytest.approx(1.460, abs=1e-3)


def test_a_virtual_arm_in_the_foreground(tmp_path: Path) -> None:
    """Prints its port, carries out commands, and leaves nothing behind."""
    link = tmp_path / "arm"
    command = [sys.executable, "-m", "dreamvla_edge.cli", "arm", "virtual", "so101"]
    with subprocess.Popen(
        [*command, "--link", str(link), "--log", str(tmp_path / "log")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        assert process.stdout.readline() == f"{link}\n"
        assert document(dreamvla("arm", "scan", link, "--json"))["ports"][0]["servos"]
        for line, answer in (("position 1", "ok 2048"), ("dance", "error dance"), ("quit", "")):
            process.stdin.write(line + "\n")
            process.stdin.flush()
            assert process.stdout.readline().startswith(answer)
        assert process.wait(120) == 0
    assert not link.exists()
    assert '"start"' in (tmp_path / "log").read_text().splitlines()[0]


def test_a_link_does_not_replace_a_file(tmp_path: Path) -> None:
    """Somebody's file."""
    (tmp_path / "arm").write_text("mine")
    done = dreamvla("arm", "virtual", "so101", "--link", tmp_path / "arm")
    assert done.returncode == 9 and (tmp_path / "arm").read_text() == "mine"
