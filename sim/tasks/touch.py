"""Touch the {colour} block."""

from __future__ import annotations

import math

from dreamvla_edge.sim.scene.arm_body import TIP_M
from dreamvla_edge.sim.scene.layout import BLOCK_M
from dreamvla_edge.sim.scene.scene import Scene

from .reach import above, azimuth
from .task import Family, Object, Wanted

MOVED_M = 0.03
"""A block that is pushed further than this was not touched but moved."""
_PRESS_M = 0.002


class Touch:
    """Done while the arm touches that block and no other, and it lies where it lay."""

    def __init__(self, about: Object, scene: Scene) -> None:
        self._colour, self._place = about.colour, scene.block(about.colour).position

    def done(self, scene: Scene) -> bool:
        """See `Progress.done`."""
        moved = math.dist(scene.block(self._colour).position, self._place)
        return scene.touched() == {self._colour} and moved < MOVED_M

    def wanted(self, scene: Scene) -> Wanted:
        """Onto it from above, the gripper closed."""
        place = scene.block(self._colour).position
        height = place[2] + BLOCK_M / 2 + TIP_M - _PRESS_M
        return Wanted(above(scene, place, azimuth(place, scene.description), height), 0.0)


TOUCH = Family(
    "touch",
    (
        "touch the {colour} block",
        "touch the {colour} cube",
        "tap the {colour} block",
        "put your finger on the {colour} block",
        "press on the {colour} block",
        "feel the {colour} block with your finger",
        "touch the top of the {colour} cube",
        "lay a finger on the {colour} block",
    ),
    ("place a finger on the {colour} cube", "tap the {colour} cube"),
    Touch,
)
