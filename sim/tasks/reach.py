"""Ways of the tool that tasks have in common."""

from __future__ import annotations

import math

import numpy as np

from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.arms.kinematics import Pose
from dreamvla_edge.runtime.rotation import Array, euler_from_matrix, matrix_from_euler
from dreamvla_edge.sim.scene.scene import Scene

HOVER_M = 0.085
"""Height of the tool above the table on its way to a block."""
_NEAR_M, _BESIDE_M = 0.008, 0.02


def above(scene: Scene, place: Array, yaw: float, height_m: float) -> Pose:
    """On the way to a place (3,) [m] from above: high until the tool is over it, then down."""
    tool = scene.tool.position
    aside = math.dist(tool[:2], place[:2])
    if aside > _BESIDE_M:
        height_m = max(height_m, HOVER_M)
        if tool[2] < HOVER_M - 0.025:  # up first: it must not sweep anything away
            return Pose(np.array([*tool[:2], HOVER_M]), downwards(yaw))
    elif aside > _NEAR_M:
        height_m = max(height_m, min(tool[2], HOVER_M))
    return Pose(np.array([*place[:2], height_m]), downwards(yaw))


def downwards(yaw: float) -> Array:
    """Rotation of a tool that points down."""
    return matrix_from_euler(np.array([math.pi, 0.0, yaw]))


def yaw_of(rotation: Array) -> float:
    """Yaw [rad] of a body that lies flat."""
    return float(euler_from_matrix(rotation)[2])


def azimuth(place: Array, arm: ArmDescription) -> float:
    """Direction [rad] of a place from the arm's first axis."""
    origin = arm.joints[0].origin_m
    return math.atan2(place[1] - origin[1], place[0] - origin[0])


def square(yaw: float, near: float) -> float:
    """The yaw nearest to another that looks the same for a cube."""
    quarter = math.pi / 2
    return yaw + round((near - yaw) / quarter) * quarter
