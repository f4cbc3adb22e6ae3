"""Whether a robot fits a bundle: the rows, and `dreamvla robot check` on planted defects."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from PIL import Image

from commands import cure_of, document, dreamvla
from dreamvla_edge.runtime.arms.arm import ArmReading, ServoReading
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.bundle import Bundle
from dreamvla_edge.runtime.robot_check import arm_findings, bundle_findings
from dreamvla_edge.runtime.specification import Specification
from dreamvla_edge.sim.bus_process import BusProcess
from motion.specifications import JOINTS, dimensions, joint_specification, pose_specification

SO101 = load_description("so101")
FRAMES = {"primary": np.zeros((48, 64, 3), np.uint8), "wrist": np.zeros((32, 32, 3), np.uint8)}


def reading(*joints: float, **servo: Any) -> ArmReading:
    """Of an arm at rest; servo: what the first one says differently."""
    well = ServoReading(load=0.0, current_a=0.0, voltage_v=12.0, temperature_c=30.0)
    first = well._replace(**servo)
    angles = np.array(joints or (0.0,) * 5)
    return ArmReading(angles, np.zeros(5), 0.5, 0.0, (first, *[well] * 5))


def wrong(specification: Specification, *joints: float, **frames: np.ndarray) -> list[str]:
    """What does not fit."""
    found = bundle_findings(SO101, specification, reading(*joints), {**FRAMES, **frames})
    return [row.what for row in found if not row.good]


def with_state(*names: str, **values: float) -> Specification:
    """In joint space, with these dimensions of the state."""
    specification = joint_specification()
    state = replace(specification.state, dimensions=dimensions(*names, **values))
    return replace(specification, state=state)


@pytest.mark.parametrize("specification", [joint_specification(), pose_specification()])
def test_a_bundle_that_fits(specification: Specification) -> None:
    """Poses fit every arm."""
    assert wrong(specification) == []


def test_a_joint_that_the_arm_lacks() -> None:
    """Whether an action or the state names it."""
    strangers = dimensions(*JOINTS[:4], "elbow_roll", "unused")
    assert wrong(joint_specification(dimensions=strangers)) == ["actions"]
    assert wrong(with_state(*JOINTS[:4], "elbow_roll", "unused")) == ["actions"]


def test_frames_of_another_size() -> None:
    """Each camera is judged alone."""
    assert wrong(joint_specification(), wrist=np.zeros((48, 64, 3), np.uint8)) == ["wrist frame"]


@pytest.mark.parametrize(
    ("angle", "scale", "offset", "expected"),
    [
        (0.0, 0.2, 0.5, []),
        (0.5 + 0.79, 0.2, 0.5, []),
        (0.5 + 0.81, 0.2, 0.5, ["state shoulder_pan"]),
        (0.5 - 0.81, -0.2, 0.5, ["state shoulder_pan"]),
        (1.9, 1.0, 0.0, []),  # not normalised: nothing is known
    ],
)
def test_a_state_that_training_has_not_seen(
    angle: float, scale: float, offset: float, expected: list[str]
) -> None:
    """Four standard deviations from the mean are the end."""
    specification = with_state(*JOINTS, "unused", scale=scale, offset=offset)
    assert wrong(specification, angle, *(offset,) * 4) == expected


@pytest.mark.parametrize(
    ("servo", "good"),
    [
        ({}, True),
        ({"voltage_v": 4.9}, False),
        ({"voltage_v": 14.1}, False),
        ({"temperature_c": 60.0}, False),
        ({"faults": ("overload",)}, False),
        ({"voltage_v": float("nan")}, False),
        ({"temperature_c": float("nan")}, False),
    ],
)
def test_the_health_of_a_servo(servo: dict[str, object], good: bool) -> None:
    """What is no number is not good."""
    rows = arm_findings(SO101, reading(**servo))
    assert rows[0].what == "shoulder_pan" and rows[0].good is good
    assert all(row.good for row in rows[1:])


@pytest.mark.parametrize(("angle", "good"), [(1.96, True), (1.98, False), (float("nan"), False)])
def test_a_joint_beyond_its_limits(angle: float, good: bool) -> None:
    """A little beyond is play."""
    row = next(r for r in arm_findings(SO101, reading(angle, 0, 0, 0, 0)) if "angle" in r.what)
    assert row.good is good


def checked(robot: Path, *arguments: object) -> dict[str, str]:
    """Rows that are wrong by what was looked at, in a run that must end with exit code 13."""
    done = dreamvla("robot", "check", robot, *arguments, "--json")
    assert done.returncode == 13, done.stderr
    rows = {row["check"]: row["found"] for row in document(done)["findings"] if not row["good"]}
    assert not document(done)["good"]
    assert cure_of(done.stderr)[0] == "; ".join(f"{what}: {f}" for what, f in rows.items())
    return rows


def test_planted_defects(bus: BusProcess, robot: Path) -> None:
    """A hot servo, a joint outside its range and a covered lens are three wrong rows."""
    bus.command("set 3 63 72")
    bus.command("obstacle 1 200 500")
    bus.command("gravity 1 0.9")  # a limp joint falls as far as it can
    time.sleep(1.5)
    text = robot.read_text()
    dark = "[cameras.wrist]\noptions = { black = true }"
    robot.write_text(text.replace("[cameras.wrist]", dark))
    rows = checked(robot)
    assert list(rows) == ["elbow_flex", "shoulder_pan angle", "wrist light"]
    assert "72 °C" in rows["elbow_flex"] and "brightness 1 of" in rows["wrist light"]


def test_an_offset_that_is_not_the_calibrated_one(bus: BusProcess, robot: Path) -> None:
    """Every angle would be wrong: the rest of the arm is not even looked at."""
    calibration = "homing_offset = 5\nlower_step = 700\nupper_step = 3400\n"
    robot.write_text(robot.read_text() + f"\n[arm.calibration.wrist_flex]\n{calibration}")
    (found,) = checked(robot).values()
    assert "servo 4 has homing_offset 0, not 5" in found


def test_a_servo_that_is_silent(bus: BusProcess, robot: Path) -> None:
    """It is named."""
    bus.command("fault 5 off")
    (found,) = checked(robot).values()
    assert "5" in found and "no answer" in found


def test_with_a_bundle(
    bundle: Callable[[str], Bundle], robot: Path, bus: BusProcess, tmp_path: Path
) -> None:
    """Its example frames are drawn as the network sees them, by another way of resizing them."""
    opened = bundle("calvin_small")
    plot = tmp_path / "frames.png"
    done = dreamvla("robot", "check", robot, opened.path, "--plot", plot, "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["check"] for row in document(done)["findings"]}
    assert {"actions", "primary frame", "wrist frame"} <= rows
    picture = Image.open(plot)
    with np.load(opened.file("golden.npz")) as golden:
        example = Image.fromarray(golden["frames_primary"][-1])
    side = opened.manifest.preprocessing.size
    expected = np.asarray(example.resize((side, side), Image.Resampling.BICUBIC), int)
    left, top = 2 * 12 + side, 12 + 22
    drawn = np.asarray(picture.crop((left, top, left + side, top + side)), int)
    assert np.abs(drawn - expected).max() <= 1
    live = np.asarray(picture.crop((12, top, 12 + side, top + side)))
    assert len(np.unique(live.reshape(-1, 3), axis=0)) > 3  # blocks on a table
    again = dreamvla("robot", "check", robot, opened.path, "--plot", plot)
    assert again.returncode == 9


def test_a_plot_without_a_bundle(robot: Path, tmp_path: Path) -> None:
    """Has nothing to show."""
    done = dreamvla("robot", "check", robot, "--plot", tmp_path / "x.png")
    assert done.returncode == 2


@pytest.mark.parametrize("command", ["check", "limits", "monitor", "home", "calibrate", "stop"])
def test_a_file_that_is_no_robot(command: str, tmp_path: Path) -> None:
    """Exit code 13, with the place in the file."""
    file = tmp_path / "robot.toml"
    file.write_text('name = "x"\n[arm]\ntype = "so101"\nport = 3\n')
    group = "robot" if command == "check" else "arm"
    done = dreamvla(group, command, file)
    assert done.returncode == 13
    assert "`$.arm.port`" in cure_of(done.stderr)[0]
