"""What the scene knows of its recordings beside the frames: distances, what is seen, and where."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.arms.kinematics import Pose
from dreamvla_edge.runtime.recording.demonstration import Demonstration, demonstrations
from dreamvla_edge.runtime.recording.frames import ROLES
from dreamvla_edge.runtime.recording.recording import open_recording
from dreamvla_edge.sim.scene.layout import COLOURS
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.scene.views import BOWL, CHEST, FIRST_BLOCK, Views
from dreamvla_edge.sim.tasks import FAMILIES, draw
from dreamvla_edge.sim.teach import MOTION

SEMANTICS = FIRST_BLOCK + len(COLOURS)
"""Kinds of things that are told apart."""
LANDMARKS = len(COLOURS) + 2
_SEEN_PX = 6
"""Less of a thing in a picture does not tell where it is."""
_FAR_M = 2.0
"""Nothing behind the table is worth dreaming."""


def shown(folders: Sequence[Path]) -> Iterator[Demonstration]:
    """What `sim.teach` recorded in each of its folders."""
    for folder in folders:
        yield from demonstrations(open_recording(folder))


class Known(NamedTuple):
    """Fields of `Examples` with what the scene knows of every frame."""

    dreams: dict[str, NDArray[np.float16]]
    sights: dict[str, NDArray[Any]]


def known(scene: Scene, views: Views, folders: Sequence[Path], patch: int) -> Known:
    """Of all recordings in these folders, drawn again from the kept motion.

    dreams: depth (n, 2, N, p²) [m]; sam (n, 2, N, SEMANTICS): which share of a patch shows what.
    The released network dreams features of Segment Anything there; a scene knows its things by
    name. sights: what the eyes are taught with (`eyes`): things (n, 2, h, w), numbers of what is
    seen; places (n, 2, LANDMARKS, 5), see `places_of`.
    """
    depth, seen, things, places = [], [], [], []
    for folder in folders:
        family, _, seed = folder.name.rpartition("-")
        scene.reset(draw(FAMILIES[family], int(seed), len(scene.description.joints)).layout)
        for qpos in np.load(folder / MOTION)["qpos"]:
            scene.show(qpos)
            pictures = [views.things(role) for role in ROLES]
            depth.append([_patches(views.depth(role).clip(0, _FAR_M), patch) for role in ROLES])
            seen.append([_shares(picture, patch) for picture in pictures])
            things.append(pictures)
            places.append([places_of(scene, *pair) for pair in zip(ROLES, pictures, strict=True)])
    return Known(
        {"depth": np.array(depth, np.float16), "sam": np.array(seen, np.float16)},
        {"things": np.array(things), "places": np.array(places, np.float16)},
    )


def places_of(scene: Scene, role: str, picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Where each landmark is, in the frame of what the camera stands on (LANDMARKS, 5).

    The base for the primary camera, the tool for the wrist's. x, y, z [m], and the cosine and sine
    of four times the yaw, as a cube looks the same every quarter turn; NaN where it is not seen.
    Landmarks: the blocks in the order of COLOURS, the bowl, the handle of the drawer.
    """
    blocks = [scene.block(colour) for colour in COLOURS]
    spots = [block.position for block in blocks] + [scene.bowl, scene.handle]
    yaws = [block.rotation[:, 0] for block in blocks] + [np.array([1.0, 0.0, 0.0])] * 2
    kinds = [*range(FIRST_BLOCK, SEMANTICS), BOWL, CHEST]
    found = np.full((LANDMARKS, 5), np.nan)
    stand = Pose(np.zeros(3), np.eye(3)) if role == "primary" else scene.tool
    origin, axes = stand.position, stand.rotation
    for row, kind, spot, along in zip(found, kinds, spots, yaws, strict=True):
        if np.count_nonzero(picture == kind) >= _SEEN_PX:
            yaw = 4 * math.atan2(*(axes.T @ along)[1::-1])
            row[:] = *(axes.T @ (spot - origin)), math.cos(yaw), math.sin(yaw)
    return found


def _patches(picture: NDArray[np.float32], patch: int) -> NDArray[np.float16]:
    """(h, w) → (N, p²), row by row."""
    rows, columns = picture.shape[0] // patch, picture.shape[1] // patch
    cut = picture.reshape(rows, patch, columns, patch).transpose(0, 2, 1, 3)
    found: NDArray[np.float16] = cut.reshape(rows * columns, -1).astype(np.float16)
    return found


def _shares(things: NDArray[np.uint8], patch: int) -> NDArray[np.float16]:
    """Numbers of things (h, w) → shares (N, SEMANTICS)."""
    kinds = (things[..., None] == np.arange(SEMANTICS)).astype(np.float32)
    rows, columns = things.shape[0] // patch, things.shape[1] // patch
    cut = kinds.reshape(rows, patch, columns, patch, SEMANTICS).mean((1, 3))
    found: NDArray[np.float16] = cut.reshape(rows * columns, SEMANTICS).astype(np.float16)
    return found
