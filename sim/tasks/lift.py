"""Lift the {colour} block."""

from __future__ import annotations

import numpy as np

from dreamvla_edge.runtime.arms.kinematics import Pose
from dreamvla_edge.sim.scene.layout import BLOCK_M
from dreamvla_edge.sim.scene.scene import Scene

from .grasp import take
from .reach import downwards
from .task import Family, Object, Wanted

HIGH_M = 0.05
"""How much higher than on the table a block must be."""
_AIM_M = 0.11  # where the tool carries it to


class Lift:
    """Done while that block is in the air and touched by the arm."""

    def __init__(self, about: Object, scene: Scene) -> None:
        self._colour = about.colour

    def done(self, scene: Scene) -> bool:
        """See `Progress.done`."""
        high = scene.block(self._colour).position[2] - BLOCK_M / 2 > HIGH_M
        return bool(high) and self._colour in scene.touched()

    def wanted(self, scene: Scene) -> Wanted:
        """Around it from above, close, up."""
        taking, yaw = take(scene, self._colour)
        up = Pose(np.array([*scene.tool.position[:2], _AIM_M]), downwards(yaw))
        return taking or Wanted(up, 0.0)


LIFT = Family(
    "lift",
    (
        "lift the {colour} block",
        "lift the {colour} cube",
        "pick up the {colour} block",
        "raise the {colour} block",
        "pick up the {colour} cube",
        "raise the {colour} block into the air",
        "take the {colour} block off the table",
        "grab the {colour} cube and hold it up",
    ),
    ("pick the {colour} cube up", "raise the {colour} cube"),
    Lift,
)
