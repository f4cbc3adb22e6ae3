"""Single moments of many layouts: what eyes are taught with beside recordings.

A recording shows one layout for some seconds, and eyes that see too few of them learn them by
heart: taught with 1500 recordings alone, they told places to 3 mm there and to 15 mm elsewhere.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.recording.frames import ROLES
from dreamvla_edge.runtime.rotation import Array
from dreamvla_edge.sim.demo import ARM
from dreamvla_edge.sim.scene.layout import Layout, draw
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.scene.views import Views

from .scene import LANDMARKS, places_of

_PART = 1000
_NEAR, _SPREAD_M = 0.5, 0.025
"""In such a share of moments a block is moved near to the tool, as it seldom is by chance."""
_ROOM_M = 0.05
"""Middle to middle, or tool to table: nearer to each other they would overlap."""


class Glimpses(NamedTuple):
    """n moments: images (n, 2, h, w, 3), things (n, 2, h, w), places (n, 2, LANDMARKS, 5)."""

    images: NDArray[np.uint8]
    things: NDArray[np.uint8]
    places: NDArray[np.float16]

    @classmethod
    def load(cls, folder: Path, mode: Literal["r", "r+"] = "r") -> Glimpses:
        """Arrays on the disk."""
        return cls(*(np.load(folder / f"{name}.npy", mmap_mode=mode) for name in cls._fields))


def catch(
    poses: NDArray[np.floating], first_seed: int, count: int, size: int, folder: Path, cores: int
) -> None:
    """Writes a new folder with so many moments, each of the layout of a seed of its own.

    poses (m, joints + 1): angles [rad] and openings that the arm is seen in, drawn at random.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    shapes: Sequence[tuple[str, str, tuple[int, ...]]] = (
        ("images", "u1", (size, size, 3)),
        ("things", "u1", (size, size)),
        ("places", "f2", (LANDMARKS, 5)),
    )
    for name, kind, shape in shapes:
        np.lib.format.open_memmap(
            partial / f"{name}.npy", "w+", kind, (count, len(ROLES), *shape)
        ).flush()
    starts = range(0, count, _PART)
    tasks = [(poses, first_seed, at, min(at + _PART, count), partial) for at in starts]
    with get_context("spawn").Pool(cores) as pool:  # a process that draws cannot be copied
        pool.starmap(_part, tasks, chunksize=1)
    os.replace(partial, folder)


def _part(poses: NDArray[np.floating], first_seed: int, begin: int, end: int, folder: Path) -> None:
    found = Glimpses.load(folder, "r+")
    scene = Scene(load_description(ARM))
    with Views(scene, found.images.shape[2]) as views:
        for number in range(begin, end):
            random = np.random.default_rng((first_seed, number))
            layout = draw(first_seed + number, len(scene.description.joints))
            pose = poses[int(random.integers(len(poses)))]
            scene.reset(layout)
            scene.pose(pose[:-1], float(pose[-1]))
            if random.random() < _NEAR:
                scene.reset(_nearer(layout, scene.tool.position, random))
                scene.pose(pose[:-1], float(pose[-1]))
            for camera, role in enumerate(ROLES):
                things = views.things(role)
                found.images[number, camera] = views.image(role)
                found.things[number, camera] = things
                found.places[number, camera] = places_of(scene, role, things)


def _nearer(layout: Layout, tool: Array, random: np.random.Generator) -> Layout:
    """With a block moved to about where the tool is, if there is room for it on the table."""
    x, y = tool[:2] + random.normal(0, _SPREAD_M, 2)
    moved, *others = random.permutation(len(layout.blocks))
    apart = min(math.dist((x, y), (layout.blocks[i].x, layout.blocks[i].y)) for i in others)
    if tool[2] < _ROOM_M or apart < _ROOM_M:
        return layout
    block = replace(layout.blocks[moved], x=float(x), y=float(y))
    return replace(
        layout, blocks=tuple(block if i == moved else b for i, b in enumerate(layout.blocks))
    )
