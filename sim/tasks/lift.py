"""Lift the {colour} block."""

from __future__ import annotations

import math

import numpy as np

from dreamvla_edge.runtime.arms.kinematics import Pose
from dreamvla_edge.sim.scene.layout import BLOCK_M
from dreamvla_edge.sim.scene.scene import Scene

from .reach import above, azimuth, downwards, square, yaw_of
from .task import Family, Wanted

HIGH_M = 0.05
"""How much higher than on the table a block must be."""
_GRASP_M, _AIM_M = 0.016, 0.11  # heights of the tool: at the grasp; where it carries to
_WITHIN_M, _DOWN_M = 0.012, 0.006
_HELD = BLOCK_M / 0.08 + 0.05  # opening at which a block is between the fingers, and a little


class Lift:
    """Done while that block is in the air and touched by the arm."""

    def __init__(self, colour: str, scene: Scene) -> None:
        self._colour = colour

    def done(self, scene: Scene) -> bool:
        """See `Progress.done`."""
        high = scene.block(self._colour).position[2] - BLOCK_M / 2 > HIGH_M
        return bool(high) and self._colour in scene.touched()

    def wanted(self, scene: Scene) -> Wanted:
        """Around it from above, close, up."""
        block, tool = scene.block(self._colour), scene.tool.position
        near = azimuth(block.position, scene.description)
        yaw = square(yaw_of(block.rotation), near)
        between = math.dist(tool[:2], block.position[:2]) < _WITHIN_M
        down = tool[2] - block.position[2] < _DOWN_M
        if not (between and down):
            return Wanted(above(scene, block.position, yaw, _GRASP_M), 1.0)
        if scene.opening > _HELD:
            return Wanted(Pose(tool, downwards(yaw)), 0.0)
        return Wanted(Pose(np.array([*tool[:2], _AIM_M]), downwards(yaw)), 0.0)


LIFT = Family(
    "lift",
    (
        "lift the {colour} block",
        "lift the {colour} cube",
        "pick up the {colour} block",
        "raise the {colour} block",
    ),
    ("pick the {colour} cube up", "raise the {colour} cube"),
    Lift,
)
