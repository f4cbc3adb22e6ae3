"""How a block is taken, which two families have in common."""

from __future__ import annotations

import math

from dreamvla_edge.runtime.arms.kinematics import Pose
from dreamvla_edge.sim.scene.layout import BLOCK_M
from dreamvla_edge.sim.scene.scene import Scene

from .reach import above, azimuth, downwards, square, yaw_of
from .task import Wanted

_GRASP_M = 0.017  # height of the tool
_WITHIN_M, _DOWN_M = 0.012, 0.008
_SLIPS = 2.0  # what is held may be so much further off


def take(scene: Scene, colour: str) -> tuple[Wanted | None, float]:
    """What takes a block, None once it is between closed fingers; the yaw that fits it."""
    block, tool = scene.block(colour), scene.tool.position
    yaw = square(yaw_of(block.rotation), azimuth(block.position, scene.description))
    closed = BLOCK_M / (2 * scene.description.gripper.finger_travel_m) + 0.05
    room = _SLIPS if scene.opening < closed else 1.0
    between = math.dist(tool[:2], block.position[:2]) < _WITHIN_M * room
    if not (between and abs(tool[2] - block.position[2]) < _DOWN_M * room):
        return Wanted(above(scene, block.position, yaw, _GRASP_M), 1.0), yaw
    if scene.opening > closed:
        return Wanted(Pose(tool, downwards(yaw)), 0.0), yaw
    return None, yaw
