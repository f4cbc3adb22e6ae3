"""The text of a robot file: complete, true to its comments, and changed in one place only."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from dreamvla_edge.cli.robot_text import new_text, with_calibration
from dreamvla_edge.runtime.arms.description import ArmLimits, Calibration, Gripper, Tool
from dreamvla_edge.runtime.arms.limits import Stall
from dreamvla_edge.runtime.cameras.source import CameraSource
from dreamvla_edge.runtime.robot import ArmSetup, Cameras, Robot, load_robot

CAMERAS = {
    "primary": CameraSource(kind="v4l2", device='a "b" \\ ü', width=640, height=480, fps=29.97),
    "wrist": CameraSource(kind="simulated"),
}
TEXT = new_text("left arm", "so101", "/dev/serial/by-id/usb-1", CAMERAS, ["found by hand"])
FOUND = {"shoulder_pan": Calibration(-12, 700, 3400), "gripper": Calibration(5, 1400, 2700)}
FIELDS = {
    name
    for contract in (Robot, ArmSetup, ArmLimits, Stall, Tool, Gripper, Cameras, CameraSource)
    for name in contract.__struct_fields__
}


def robot_of(text: str) -> Robot:
    """As `load_robot` reads it."""
    return msgspec.toml.decode(text, type=Robot)


def test_a_new_file_says_what_it_was_given() -> None:
    """Also strings that need escapes."""
    robot = robot_of(TEXT)
    assert (robot.name, robot.arm.type, robot.arm.port) == (
        "left arm",
        "so101",
        "/dev/serial/by-id/usb-1",
    )
    assert (robot.cameras.primary, robot.cameras.wrist) == (CAMERAS["primary"], CAMERAS["wrist"])
    assert robot.arm.calibration == {} and robot.arm.rest is None
    assert "# found by hand\n" in TEXT
    assert max(map(len, TEXT.splitlines())) <= 100


def test_every_example_in_a_comment_is_valid(tmp_path: Path) -> None:
    """Without their number signs the examples are a robot file that can be loaded."""
    lines = [re.sub(r"^# (?=\[|[a-z0-9_]+ = )", "", line) for line in TEXT.splitlines()]
    file = tmp_path / "robot.toml"
    file.write_text("\n".join(lines))
    robot = load_robot(file)
    arm = robot.arm
    assert None not in (arm.rest, arm.limits, arm.tool, arm.gripper, robot.cameras.primary.crop)


@pytest.mark.parametrize("field", sorted(FIELDS - {"operating_mode", "model", "homing_offset"}))
def test_every_field_is_mentioned(field: str) -> None:
    """Three that only the description of a kind of arm needs stand in the docs alone."""
    assert re.search(rf"\b{field}\b", TEXT)


@pytest.mark.parametrize("field", sorted(FIELDS | set(Calibration.__struct_fields__)))
def test_every_field_stands_in_the_docs(field: str) -> None:
    """`docs/robot-file.md`."""
    page = Path(__file__).parents[2] / "docs" / "robot-file.md"
    assert f"`{field}`" in page.read_text()


def test_the_example_of_the_docs_is_valid(tmp_path: Path) -> None:
    """Every TOML block of the page together is one robot file."""
    page = (Path(__file__).parents[2] / "docs" / "robot-file.md").read_text()
    blocks = re.findall(r"^```toml\n(.*?)^```", page, re.M | re.S)
    file = tmp_path / "robot.toml"
    file.write_text("\n".join(blocks))
    robot = load_robot(file)
    assert robot.arm.calibration.keys() >= {"shoulder_pan", "gripper"}


def test_a_calibration_is_added_and_replaced() -> None:
    """All other lines stay as they were, comments too."""
    once = with_calibration(TEXT, FOUND)
    assert robot_of(once).arm.calibration == FOUND
    assert once.startswith(TEXT.rstrip("\n"))
    other = {"gripper": Calibration(0, 1000, 2000)}
    twice = with_calibration(once, other)
    assert robot_of(twice).arm.calibration == other
    assert with_calibration(twice, FOUND) == once


def test_what_follows_a_calibration_stays() -> None:
    """It may stand in the middle of a file that a person has sorted."""
    text = with_calibration('[arm]\ntype = "x"\nport = "y"\n', FOUND) + (
        "\n# about the cameras\n[cameras.primary] # here\nkind = 'file'\n"
    )
    changed = with_calibration(text, {"gripper": Calibration(1, 2, 3)})
    assert "# about the cameras\n[cameras.primary] # here\nkind = 'file'\n" in changed
    assert msgspec.toml.decode(changed)["arm"]["calibration"] == {
        "gripper": {"homing_offset": 1, "lower_step": 2, "upper_step": 3}
    }


@pytest.mark.parametrize(
    "text",
    [
        "[arm]\ncalibration = { gripper = { homing_offset = 1, lower_step = 2, upper_step = 3 } }",
        '[arm]\ncalibration.gripper.lower_step = 4\ntype = "x"',
        'note = """\n[arm.calibration.x]\nkept?\n"""\n[arm]\n',
    ],
)
def test_what_cannot_be_replaced_is_refused(text: str) -> None:
    """Rather than written twice, or taken out of a text that only looks like it."""
    with pytest.raises(ValueError, match="calibration|Unterminated"):
        with_calibration(text, FOUND)
