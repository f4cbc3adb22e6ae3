"""What lies beside the blocks: a bowl and a chest with a drawer, from boxes."""

from __future__ import annotations

from collections.abc import Sequence

from .arm_body import HARD

BOWL_M = 0.09
"""Edge of the bowl's inside, which is a square."""
TRAVEL_M = 0.07
"""How far the drawer comes out."""
_WALL_M, _RIM_M = 0.004, 0.024
_CHEST_M = (0.09, 0.1, 0.05)  # depth, width, height
_HANDLE_M = (0.036, 0.044)  # inside: along the way out, across it
_BAR_M, _BAR_AT_M = 0.004, 0.03  # half its thickness; its height
_SOLID = f'contype="4" conaffinity="5" {HARD}'
_WHITE, _WOOD, _FRONT, _STEEL = (
    "0.9 0.9 0.88 1",
    "0.5 0.33 0.2 1",
    "0.6 0.42 0.28 1",
    "0.3 0.3 0.34 1",
)
BOWL, CHEST, DRAWER, HANDLE = "bowl", "chest", "drawer", "handle"


def things() -> str:
    """MJCF of both bodies, which `Scene.reset` puts in their places.

    The chest's x axis points to where the drawer comes out; a site HANDLE is in the middle of the
    loop that a finger pulls at.
    """
    half, wall = BOWL_M / 2, _WALL_M
    sides = [
        _box((sign * (half + wall), 0, _RIM_M / 2), (wall, half + 2 * wall, _RIM_M / 2), _WHITE)
        for sign in (1, -1)
    ] + [
        _box((0, sign * (half + wall), _RIM_M / 2), (half, wall, _RIM_M / 2), _WHITE)
        for sign in (1, -1)
    ]
    depth, width, height = _CHEST_M
    loop, across = _HANDLE_M
    chest = [
        _box(
            (-depth / 2, sign * (width / 2 - wall), height / 2),
            (depth / 2, wall, height / 2),
            _WOOD,
        )
        for sign in (1, -1)
    ] + [
        _box((-depth / 2, 0, height - wall), (depth / 2, width / 2, wall), _WOOD),
        _box((-depth + wall, 0, height / 2), (wall, width / 2, height / 2), _WOOD),
    ]
    bar = _BAR_M
    drawer = [
        _box(
            (0.004, 0, height / 2 - wall),
            (0.004, width / 2 - 3 * wall, height / 2 - 2 * wall),
            _FRONT,
        ),
        _box(
            (-depth / 2, 0, 2 * wall),
            (depth / 2 - 2 * wall, width / 2 - 3 * wall, wall / 2),
            _FRONT,
        ),
        _box((0.008 + loop + bar, 0, _BAR_AT_M), (bar, across / 2 + 2 * bar, bar), _STEEL),
    ] + [
        _box((0.008 + loop / 2, sign * (across / 2 + bar), _BAR_AT_M), (loop / 2, bar, bar), _STEEL)
        for sign in (1, -1)
    ]
    return "\n".join(
        [
            f'<body name="{BOWL}">',
            _box((0, 0, wall / 2), (half, half, wall / 2), _WHITE),
            *sides,
            f'</body><body name="{CHEST}">',
            *chest,
            f'<body name="{DRAWER}"><joint name="{DRAWER}" type="slide" axis="1 0 0"'
            f' limited="true" range="0 {TRAVEL_M}" damping="4" frictionloss="0.4"/>',
            *drawer,
            f'<site name="{HANDLE}" pos="{0.008 + loop / 2} 0 {_BAR_AT_M}" size="0.002"'
            f' rgba="0 0 0 0"/></body></body>',
        ]
    )


def _box(at: Sequence[float], half: Sequence[float], colour: str) -> str:
    place, size = (" ".join(f"{number:.6g}" for number in row) for row in (at, half))
    return f'<geom type="box" pos="{place}" size="{size}" rgba="{colour}" mass="0.05" {_SOLID}/>'
