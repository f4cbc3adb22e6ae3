"""What the demo robot's numbers mean: an SO-101 in a scene that is told what to do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.rotation import Array
from dreamvla_edge.runtime.specification import (
    UNUSED,
    ActionSpecification,
    CameraSpecification,
    Dimension,
    GripperCommand,
    Specification,
    StateSpecification,
)

from .episode import RATE_HZ
from .expert import STEP_RAD

ARM = "so101"
IMAGE = 96
"""Edge of the frames of both cameras [pixel]."""
_JOINTS = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll")


def _dimensions(scale: float) -> tuple[Dimension, ...]:
    return tuple(Dimension(name=n, unit="rad", scale=scale) for n in (*_JOINTS, UNUSED))


SPECIFICATION = Specification(
    name="demo",
    action=ActionSpecification(
        kind="delta_joints",
        # From a target that nobody sees it would add up where something is in the arm's way.
        anchor="measured",
        dimensions=_dimensions(STEP_RAD),
        gripper=GripperCommand(upper_means="open"),
        rate_hz=RATE_HZ,
        clip=1.0,
    ),
    state=StateSpecification(dimensions=_dimensions(1.0), gripper="command"),
    cameras=(
        CameraSpecification(role="primary", height=IMAGE, width=IMAGE),
        CameraSpecification(role="wrist", height=IMAGE, width=IMAGE),
    ),
)
"""One action turns every joint by at most STEP_RAD from where it is."""


def action(delta: Array, opening: float) -> NDArray[np.float32]:
    """The executed action (7,) of ways of the joints (5,) [rad] and an opening, 0 or 1."""
    gripper = 1.0 if opening >= 0.5 else -1.0
    return np.array([*(delta / STEP_RAD), 0.0, gripper], np.float32)
