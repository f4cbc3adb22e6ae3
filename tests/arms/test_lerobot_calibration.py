"""A calibration as LeRobot writes it, found where LeRobot keeps it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dreamvla_edge.runtime.arms.description import Calibration, calibrated, load_description
from dreamvla_edge.runtime.arms.lerobot_calibration import (
    find_lerobot_calibration,
    read_lerobot_calibration,
)
from dreamvla_edge.runtime.errors import ArmError

SO101 = load_description("so101")
NAMES = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
# What `lerobot-calibrate` writes (draccus JSON, indent 4); the roll joint turns freely.
FILE: dict[str, dict[str, Any]] = {
    name: {
        "id": i,
        "drive_mode": 0,
        "homing_offset": offset,
        "range_min": low,
        "range_max": high,
    }
    for i, (name, offset, low, high) in enumerate(
        zip(
            NAMES,
            (-1470, 157, 1052, 8, -1120, 2047),
            (758, 866, 883, 902, 0, 2035),
            (3292, 3213, 3098, 3128, 4095, 3440),
            strict=True,
        ),
        1,
    )
}


def write(file: Path, content: object) -> Path:
    """The file with this content, and the folders above it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=4))
    return file


def test_every_joint_is_read_and_fits_the_arm(tmp_path: Path) -> None:
    """Offset and range by name; the description takes them."""
    found = read_lerobot_calibration(write(tmp_path / "a.json", FILE), SO101)
    assert found["elbow_flex"] == Calibration(1052, 883, 3098)
    assert set(found) == set(NAMES)
    arm = calibrated(SO101, found)
    assert arm.joints[0].zero_step == round((758 + 3292) / 2)
    assert arm.joints[4].zero_step == 2048
    assert (arm.gripper.closed_step, arm.gripper.open_step) == (2035, 3440)
    assert [part.homing_offset for part in arm.parts] == [m["homing_offset"] for m in FILE.values()]


@pytest.mark.parametrize("kind", ["so_follower", "so101_follower"])
@pytest.mark.parametrize(
    ("variable", "below"),
    [
        ("HF_LEROBOT_CALIBRATION", ""),
        ("HF_LEROBOT_HOME", "calibration"),
        ("HF_HOME", "lerobot/calibration"),
        ("HOME", ".cache/huggingface/lerobot/calibration"),
    ],
)
def test_an_id_is_found_where_lerobot_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, variable: str, below: str
) -> None:
    """Under both names that the follower has had, by every variable that moves the folder."""
    for name in ("HF_LEROBOT_CALIBRATION", "HF_LEROBOT_HOME", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    file = write(tmp_path / below / "robots" / kind / "white.json", FILE)
    assert find_lerobot_calibration(SO101, "white") == file
    with pytest.raises(ArmError, match="'black'") as caught:
        find_lerobot_calibration(SO101, "black")
    assert "ids here: white" in caught.value.cure


def test_an_id_is_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would lead out of the folder."""
    monkeypatch.setenv("HF_LEROBOT_CALIBRATION", str(tmp_path))
    write(tmp_path / "robots" / "secret.json", FILE)
    for identifier in ("../secret", "/etc/passwd", ""):
        with pytest.raises(ArmError):
            find_lerobot_calibration(SO101, identifier)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gripper": None}, "has the joints and servos"),
        ({"wrist": FILE["gripper"]}, "has the joints and servos"),
        ({"gripper": {**FILE["gripper"], "id": 7}}, "has the joints and servos"),
        ({"gripper": {**FILE["gripper"], "drive_mode": 1}}, "drive_mode"),
        ({"gripper": {**FILE["gripper"], "range_max": 5000}}, "within 0 to 4095"),
        ({"gripper": {**FILE["gripper"], "range_min": 1.5}}, "range_min"),
        ({"gripper": {**FILE["gripper"], "norm": 1}}, "unknown field"),
    ],
)
def test_another_arm_or_a_broken_file_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    """With the place in the file."""
    content = {name: value for name, value in (FILE | change).items() if value is not None}
    with pytest.raises(ArmError, match=message) as caught:
        read_lerobot_calibration(write(tmp_path / "a.json", content), SO101)
    assert "a.json" in caught.value.found
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ArmError, match="a.json"):
        read_lerobot_calibration(tmp_path / "a.json", SO101)
