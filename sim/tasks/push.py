"""Push the {colour} block {left, right, away}."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from dreamvla_edge.runtime.arms.kinematics import Pose
from dreamvla_edge.runtime.rotation import Array
from dreamvla_edge.sim.scene.layout import BLOCK_M, Layout
from dreamvla_edge.sim.scene.scene import Scene

from .reach import above, azimuth, downwards
from .task import Family, Object, Wanted

WAYS: Mapping[str, Array] = {
    "left": np.array([0.0, 1.0]),
    "right": np.array([0.0, -1.0]),
    "away": np.array([1.0, 0.0]),
}
"""As seen from the arm's base."""
PUSHED_M, ASIDE_M = 0.05, 0.04
"""How far along its way a block must be, and how far aside it may be."""
_BEHIND_M, _LOW_M, _STEP_M = 0.048, 0.018, 0.03
_CLEAR_M = 0.055  # between the middles of what moves and what must not be in its way


class Push:
    """Done while that block lies far enough along its way."""

    def __init__(self, about: Object, scene: Scene) -> None:
        self._colour, self._way = about.colour, WAYS[about.way]
        self._place = scene.block(about.colour).position[:2].copy()

    def done(self, scene: Scene) -> bool:
        """See `Progress.done`."""
        moved = scene.block(self._colour).position[:2] - self._place
        along = float(moved @ self._way)
        return along > PUSHED_M and bool(np.linalg.norm(moved - along * self._way) < ASIDE_M)

    def wanted(self, scene: Scene) -> Wanted:
        """Down behind it, then along the way."""
        block, tool = scene.block(self._colour).position, scene.tool.position
        yaw = azimuth(block, scene.description)
        if self.done(scene):
            return Wanted(Pose(tool, downwards(yaw)), 0.0)
        behind = float((block[:2] - tool[:2]) @ self._way)
        aside = (block[:2] - tool[:2]) - behind * self._way
        is_behind = BLOCK_M / 4 < behind < 2 * _BEHIND_M and np.linalg.norm(aside) < 0.012
        if is_behind and tool[2] < _LOW_M + 0.012:
            to = tool[:2] + _STEP_M * self._way + aside
            return Wanted(Pose(np.array([*to, _LOW_M]), downwards(yaw)), 0.0)
        return Wanted(above(scene, block[:2] - _BEHIND_M * self._way, yaw, _LOW_M), 0.0)


def suits(about: Object, layout: Layout) -> bool:
    """Whether no other block lies where the tool comes down or where the block goes."""
    (own,) = (b for b in layout.blocks if b.colour == about.colour)
    way, place = WAYS[about.way], np.array([own.x, own.y])
    spots = [place + along * way for along in (-_BEHIND_M, PUSHED_M / 2, PUSHED_M + 0.02)]
    others = [(b.x, b.y) for b in layout.blocks if b is not own]
    return all(math.dist(spot, other) > _CLEAR_M for spot in spots for other in others)


PUSH = Family(
    "push",
    (
        "push the {colour} block {way}",
        "push the {colour} cube {way}",
        "slide the {colour} block {way}",
        "move the {colour} block {way}",
        "move the {colour} cube {way}",
        "nudge the {colour} cube {way}",
        "shift the {colour} block {way}",
        "make the {colour} block go {way}",
    ),
    ("slide the {colour} cube {way}", "shove the {colour} block {way}"),
    Push,
    tuple(WAYS),
    suits,
)
