"""What differs from one episode to the next: where things lie and how they are lit and seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dreamvla_edge.runtime.rotation import Array

COLOURS = {
    "red": (0.78, 0.12, 0.1),
    "green": (0.12, 0.55, 0.18),
    "blue": (0.1, 0.25, 0.75),
    "yellow": (0.88, 0.75, 0.1),
}
BLOCK_M = 0.034
"""Edge of a block."""
PRESENT = 3
"""So many of the four blocks are on the table."""
_RADIUS_M, _AZIMUTH_RAD, _APART_M = (0.17, 0.26), 0.65, 0.08
_CENTRE_M = (0.0388, 0.0)  # the axis of the SO-101's shoulder
_BOWL, _CHEST = (0.21, -1.4), (0.27, 1.4)  # distance [m] and azimuth [rad]
_SHIFT_M, _SHIFT_RAD = 0.015, 0.08
_CAMERA_M, _LOOK_M = (0.01, 0.01, 0.01), (0.005, 0.005, 0.005)  # standard deviations
_START_RAD = 0.12
TRAINING = 500_000
"""Seeds below are for training, the others for evaluation."""


@dataclass(frozen=True)
class Block:
    """A cube: colour, a key of COLOURS; place on the table [m]; yaw [rad]."""

    colour: str
    x: float
    y: float
    yaw: float


@dataclass(frozen=True, eq=False)
class Layout:
    """One episode's beginning.

    bowl, chest: distance from the arm's first axis [m] and azimuth [rad]; camera, look (3,) [m]:
    how far the primary camera and what it looks at are from where they belong; light: brightness,
    1 as designed; table (3,): its colour; start (n,) [rad]: how far the joints are from their
    rest.
    """

    blocks: tuple[Block, ...]
    bowl: tuple[float, float]
    chest: tuple[float, float]
    camera: Array
    look: Array
    light: float
    table: Array
    start: Array


def draw(seed: int, joints: int, attempt: int = 0) -> Layout:
    """The layout of a seed, for an arm with so many joints: the same on every machine.

    attempt: counts up where a task cannot be asked for in an earlier one.
    """
    random = np.random.default_rng((seed, attempt, 0x5CE7E))
    colours = random.permutation(sorted(COLOURS))[:PRESENT].tolist()
    places: list[tuple[float, float]] = []
    while len(places) < PRESENT:
        radius, azimuth = random.uniform(*_RADIUS_M), random.uniform(-_AZIMUTH_RAD, _AZIMUTH_RAD)
        place = around(radius, azimuth)
        if all(math.dist(place, other) > _APART_M for other in places):
            places.append(place)
    return Layout(
        blocks=tuple(
            Block(colour, x, y, float(random.uniform(-math.pi / 4, math.pi / 4)))
            for colour, (x, y) in zip(colours, places, strict=True)
        ),
        bowl=_shifted(_BOWL, random),
        chest=_shifted(_CHEST, random),
        camera=random.normal(0, _CAMERA_M),
        look=random.normal(0, _LOOK_M),
        light=float(random.uniform(0.75, 1.2)),
        table=np.array([0.6, 0.52, 0.42]) + random.uniform(-0.12, 0.12, 3),
        start=random.uniform(-_START_RAD, _START_RAD, joints),
    )


def around(radius_m: float, azimuth: float) -> tuple[float, float]:
    """A place on the table [m] around the arm's first axis."""
    x, y = _CENTRE_M
    return x + radius_m * math.cos(azimuth), y + radius_m * math.sin(azimuth)


def _shifted(place: tuple[float, float], random: np.random.Generator) -> tuple[float, float]:
    radius, azimuth = place
    return (
        radius + float(random.uniform(-_SHIFT_M, _SHIFT_M)),
        azimuth + float(random.uniform(-_SHIFT_RAD, _SHIFT_RAD)),
    )
