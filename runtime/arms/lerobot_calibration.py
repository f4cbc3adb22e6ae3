"""Reads the calibration that LeRobot keeps of an arm.

LeRobot stores, per joint name, `id`, `drive_mode`, `homing_offset`, `range_min` and `range_max` as
JSON in $HF_LEROBOT_CALIBRATION/robots/<type>/<id>.json, by default below
~/.cache/huggingface/lerobot/calibration (`lerobot/robots/robot.py`, `motors/motors_bus.py`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from dreamvla_edge.runtime.arms.description import ArmDescription, Calibration
from dreamvla_edge.runtime.errors import ArmError
from dreamvla_edge.runtime.specification import Contract

# name of our description -> types under which LeRobot has filed such arms, the newest first
_TYPES: Mapping[str, tuple[str, ...]] = {
    "so101": ("so_follower", "so101_follower"),
    "koch": ("koch_follower",),
}


class _Motor(Contract, frozen=True):
    """One joint of a LeRobot calibration; drive_mode 1 would turn the direction round."""

    id: int
    drive_mode: Literal[0]
    homing_offset: int
    range_min: int
    range_max: int


def find_lerobot_calibration(description: ArmDescription, identifier: str) -> Path:
    """The file of the LeRobot robot called `identifier`. Raises ArmError if there is none."""
    if Path(identifier).name != identifier:
        raise ArmError(
            f"{identifier!r} is no LeRobot id", "a name, as LeRobot's --robot.id", "name the id"
        )
    types = _TYPES.get(description.name, ())
    candidates = [_folder() / kind / f"{identifier}.json" for kind in types]
    for file in candidates:
        if file.is_file():
            return file
    known = sorted(file.stem for kind in types for file in (_folder() / kind).glob("*.json"))
    raise ArmError(
        f"LeRobot has no calibration {identifier!r} for {description.name}",
        f"one of {', '.join(map(str, candidates)) or 'no type of LeRobot'}",
        f"ids here: {', '.join(known) or 'none'}; calibrate with LeRobot, or with "
        "`dreamvla arm calibrate`",
    )


def read_lerobot_calibration(file: Path, description: ArmDescription) -> dict[str, Calibration]:
    """What the file says, by joint name and `gripper`.

    Raises ArmError if it cannot be read, names other joints or servos than the description has,
    or turns a direction round.
    """
    servos = {joint.name: joint.servo for joint in description.joints}
    servos["gripper"] = description.gripper.servo
    try:
        motors = msgspec.json.decode(file.read_bytes(), type=dict[str, _Motor])
        found = {name: motor.id for name, motor in motors.items()}
        if found != servos:
            raise ValueError(f"it has the joints and servos {found}, not {servos}")
        return {
            name: Calibration(motor.homing_offset, motor.range_min, motor.range_max)
            for name, motor in motors.items()
        }
    except (OSError, ValueError) as error:
        raise ArmError(
            f"the LeRobot calibration {file} cannot be used ({error})",
            f"the calibration of a follower arm like {description.name}",
            "calibrate the arm again with LeRobot, or with `dreamvla arm calibrate`",
        ) from error


def _folder() -> Path:
    lerobot = Path(os.environ.get("HF_LEROBOT_HOME") or _hugging_face() / "lerobot")
    own = os.environ.get("HF_LEROBOT_CALIBRATION")
    return (Path(own) if own else lerobot / "calibration").expanduser() / "robots"


def _hugging_face() -> Path:
    return Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
