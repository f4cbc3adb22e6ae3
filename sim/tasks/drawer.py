"""Open the drawer."""

from __future__ import annotations

import math

import numpy as np

from dreamvla_edge.runtime.arms.kinematics import Pose
from dreamvla_edge.sim.scene.scene import Scene

from .reach import above, azimuth, downwards
from .task import Family, Object, Wanted

OPEN_M = 0.04
"""How far it must be out."""
_LOW_M, _WITHIN_M, _STEP_M = 0.024, 0.012, 0.03


class Drawer:
    """Done while the drawer is out."""

    def __init__(self, about: Object, scene: Scene) -> None:
        pass

    def done(self, scene: Scene) -> bool:
        """See `Progress.done`."""
        return scene.drawer > OPEN_M

    def wanted(self, scene: Scene) -> Wanted:
        """Into the handle from above, the gripper closed, then towards the base."""
        tool, handle = scene.tool.position, scene.handle
        yaw = azimuth(handle, scene.description)
        if self.done(scene):
            return Wanted(Pose(tool, downwards(yaw)), 0.0)
        if math.dist(tool[:2], handle[:2]) < _WITHIN_M and tool[2] < _LOW_M + 0.01:
            inwards = -np.array([math.cos(yaw), math.sin(yaw)])
            to = np.array([*(tool[:2] + _STEP_M * inwards), _LOW_M])
            return Wanted(Pose(to, downwards(yaw)), 0.0)
        return Wanted(above(scene, handle, yaw, _LOW_M), 0.0)


DRAWER = Family(
    "drawer",
    (
        "open the drawer",
        "pull the drawer open",
        "pull out the drawer",
        "open up the drawer",
        "get the drawer open",
        "draw the drawer out",
        "pull at the handle of the drawer",
        "the drawer should be open",
    ),
    ("pull the drawer out", "slide the drawer open"),
    Drawer,
)
