"""Put the {colour} block in the bowl."""

from __future__ import annotations

import math

import numpy as np

from dreamvla_edge.runtime.arms.kinematics import Pose
from dreamvla_edge.sim.scene.layout import BLOCK_M
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.scene.things import BOWL_M

from .grasp import take
from .reach import azimuth, downwards
from .task import Family, Object, Wanted

_CARRY_M, _DROP_M, _OVER_M = 0.11, 0.075, 0.015


class Bowl:
    """Done when that block lies in the bowl and the arm has let it go."""

    def __init__(self, about: Object, scene: Scene) -> None:
        self._colour = about.colour

    def done(self, scene: Scene) -> bool:
        """See `Progress.done`."""
        return self._inside(scene) and self._colour not in scene.touched()

    def wanted(self, scene: Scene) -> Wanted:
        """Take it, carry it high, let it go over the bowl's middle, get away."""
        tool, bowl = scene.tool.position, scene.bowl
        yaw = azimuth(bowl, scene.description)
        if self._inside(scene):
            return Wanted(Pose(np.array([*bowl[:2], _CARRY_M]), downwards(yaw)), 1.0)
        taking, own = take(scene, self._colour)
        if taking is not None:
            return taking
        if math.dist(tool[:2], bowl[:2]) < _OVER_M:
            opening = 1.0 if tool[2] < _DROP_M + 0.01 else 0.0
            return Wanted(Pose(np.array([*bowl[:2], _DROP_M]), downwards(yaw)), opening)
        if tool[2] < _CARRY_M - 0.03:
            return Wanted(Pose(np.array([*tool[:2], _CARRY_M]), downwards(own)), 0.0)
        return Wanted(Pose(np.array([*bowl[:2], _CARRY_M]), downwards(yaw)), 0.0)

    def _inside(self, scene: Scene) -> bool:
        block = scene.block(self._colour).position
        aside = np.abs(block[:2] - scene.bowl[:2]).max()
        return bool(aside < BOWL_M / 2 and block[2] < BLOCK_M)


BOWL = Family(
    "bowl",
    (
        "put the {colour} block in the bowl",
        "put the {colour} cube into the bowl",
        "place the {colour} block in the bowl",
        "drop the {colour} block in the bowl",
        "drop the {colour} cube into the bowl",
        "put the {colour} cube in the bowl",
        "bring the {colour} block to the bowl",
        "the {colour} block belongs in the bowl",
    ),
    ("place the {colour} cube inside the bowl", "move the {colour} block into the bowl"),
    Bowl,
)
