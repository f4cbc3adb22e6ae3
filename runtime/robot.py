"""One robot: everything that belongs to one arm on one table, in `robot.toml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from dreamvla_edge.runtime.arms import connect, own_driver
from dreamvla_edge.runtime.arms.arm import Arm
from dreamvla_edge.runtime.arms.description import (
    ArmDescription,
    ArmLimits,
    Calibration,
    Gripper,
    Tool,
    calibrated,
    load_description,
)
from dreamvla_edge.runtime.arms.kinematics import chain_of, forward
from dreamvla_edge.runtime.cameras.source import CameraSource
from dreamvla_edge.runtime.errors import RobotError
from dreamvla_edge.runtime.specification import Contract

VIRTUAL = "virtual"
"""The port of an arm that is simulated."""


class ArmSetup(Contract, frozen=True):
    """Which arm, where, and how this one differs from its kind.

    type: a name of `ARMS`, a TOML description beside the robot file, or "module:Class"; port:
    best from /dev/serial/by-id, or `virtual`; calibration: per joint and `gripper`; rest: angles
    (n,) [rad] at which the arm may lose its torque; limits, tool, gripper: instead of the
    description's own.
    """

    type: str
    port: str
    calibration: Mapping[str, Calibration] = {}
    rest: tuple[float, ...] | None = None
    limits: ArmLimits | None = None
    tool: Tool | None = None
    gripper: Gripper | None = None


class Cameras(Contract, frozen=True):
    """Which camera sees what."""

    primary: CameraSource
    wrist: CameraSource


class Robot(Contract, frozen=True):
    """A robot file."""

    name: str
    arm: ArmSetup
    cameras: Cameras


def load_robot(path: Path) -> Robot:
    """Reads a robot file. Raises RobotError if it cannot be read or a value is not possible."""
    try:
        robot = msgspec.toml.decode(path.read_bytes(), type=Robot)
    except (OSError, UnicodeDecodeError, msgspec.DecodeError) as error:
        raise RobotError(
            f"{path} cannot be used ({error})",
            "a robot file with the fields of docs/robot-file.md",
            "make one with `dreamvla robot init`, or correct the place named above",
        ) from error
    description = describe(robot, path.parent)
    rest = robot.arm.rest
    if rest is not None and not _within(rest, description):
        raise RobotError(
            f"arm.rest of {path} is {list(rest)}",
            "one angle [rad] for each of " + _ranges(description),
            "correct the angles, or remove the line",
        )
    if rest is not None:
        _require_reachable(rest, description, path)
    return robot


def describe(robot: Robot, folder: Path) -> ArmDescription:
    """The description of this very arm: its kind's, with calibration, limits, tool and gripper.

    folder: of the robot file, where relative paths begin. Raises ArmError.
    """
    arm = robot.arm
    description: ArmDescription
    if ":" in arm.type:
        description = own_driver(arm.type).description
    else:
        description = load_description(kind_of(robot, folder))
    changed = {
        name: value
        for name in ("limits", "tool", "gripper")
        if (value := getattr(arm, name)) is not None
    }
    description = msgspec.structs.replace(description, **changed)
    return calibrated(description, arm.calibration)


def kind_of(robot: Robot, folder: Path) -> str:
    """What `load_description` takes: a file beside the robot file, or the name of its arm."""
    beside = folder / robot.arm.type
    return str(beside) if beside.is_file() else robot.arm.type


def open_robot_arm(robot: Robot, folder: Path, port: str | None = None) -> Arm:
    """Opens the arm's port and nothing else; port: instead of the robot file's. Raises ArmError."""
    port = port or robot.arm.port
    if ":" in robot.arm.type:
        own: Arm = own_driver(robot.arm.type)(port)
        return own
    return connect(describe(robot, folder), port)


def _within(rest: tuple[float, ...], description: ArmDescription) -> bool:
    joints = description.joints
    return len(rest) == len(joints) and all(
        joint.lower_rad <= angle <= joint.upper_rad
        for joint, angle in zip(joints, rest, strict=True)
    )


def _require_reachable(rest: tuple[float, ...], description: ArmDescription, path: Path) -> None:
    """Raises RobotError if the workspace limit would keep the arm from its rest pose."""
    box = description.limits.workspace_m
    point = forward(chain_of(description), np.array(rest)).position
    if box is not None and not ((point >= box.min) & (point <= box.max)).all():
        raise RobotError(
            f"arm.rest of {path} puts the tool point at {(point.round(3) + 0.0).tolist()} m",
            f"a point between {list(box.min)} and {list(box.max)} m, the limit workspace_m",
            "choose another rest pose, or give [arm.limits] with a larger workspace_m",
        )


def _ranges(description: ArmDescription) -> str:
    joints = description.joints
    return ", ".join(f"{j.name} ({j.lower_rad:g} to {j.upper_rad:g})" for j in joints)
