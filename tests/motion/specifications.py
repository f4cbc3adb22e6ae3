"""Small data-set specifications for the tests of this folder."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from dreamvla_edge.runtime.specification import (
    ActionSpecification,
    CameraSpecification,
    Dimension,
    GripperCommand,
    Specification,
    StateSpecification,
)

CAMERAS = (
    CameraSpecification(role="primary", height=48, width=64),
    CameraSpecification(role="wrist", height=32, width=32),
)
JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll")


def dimensions(*names: str, **values: float) -> tuple[Dimension, ...]:
    """Dimensions of any unit; lengths for a pose's x, y, z."""
    return tuple(
        Dimension(name=name, unit="m" if name in ("x", "y", "z") else "rad", **values)
        for name in names
    )


POSE = dimensions("x", "y", "z", "roll", "pitch", "yaw")
POSE_ACTION = ActionSpecification(
    kind="delta_pose",
    dimensions=(
        *dimensions("x", "y", "z", scale=0.02),
        *dimensions("roll", "pitch", "yaw", scale=0.05),
    ),
    gripper=GripperCommand(upper_means="open"),
    rate_hz=100.0,
    rotation="euler_add",
)
JOINT_ACTION = ActionSpecification(
    kind="joints",
    dimensions=dimensions(*JOINTS, "unused", scale=0.5, offset=0.1),
    gripper=GripperCommand(upper_means="closed"),
    rate_hz=100.0,
)


def pose_specification(**action: Any) -> Specification:
    """Like CALVIN, with changes to the action."""
    return Specification(
        name="pose",
        action=replace(POSE_ACTION, **action),
        state=StateSpecification(dimensions=POSE, gripper="command"),
        cameras=CAMERAS,
    )


def joint_specification(**action: Any) -> Specification:
    """In joint space, with changes to the action."""
    return Specification(
        name="joints",
        action=replace(JOINT_ACTION, **action),
        state=StateSpecification(dimensions=dimensions(*JOINTS, "unused"), gripper="fingers"),
        cameras=CAMERAS,
    )
