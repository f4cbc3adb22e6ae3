"""What the scene knows of its recordings beside their frames: distances, and what is seen where."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.recording.demonstration import Demonstration, demonstrations
from dreamvla_edge.runtime.recording.frames import ROLES
from dreamvla_edge.runtime.recording.recording import open_recording
from dreamvla_edge.sim.scene.layout import COLOURS
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.scene.views import FIRST_BLOCK, Views
from dreamvla_edge.sim.tasks import FAMILIES, draw
from dreamvla_edge.sim.teach import MOTION

SEMANTICS = FIRST_BLOCK + len(COLOURS)
"""Kinds of things that are told apart."""
_FAR_M = 2.0
"""Nothing behind the table is worth dreaming."""


def shown(folders: Sequence[Path]) -> Iterator[Demonstration]:
    """What `sim.teach` recorded in each of its folders."""
    for folder in folders:
        yield from demonstrations(open_recording(folder))


def dreams(
    scene: Scene, views: Views, folders: Sequence[Path], patch: int
) -> dict[str, NDArray[np.float16]]:
    """Targets of the heads `depth` and `sam` for every frame, drawn again from the kept motion.

    depth (n, 2, N, p²) [m]; sam (n, 2, N, SEMANTICS): which share of a patch shows what. The
    released network dreams features of Segment Anything there; a scene knows its things by name.
    """
    depth, seen = [], []
    for folder in folders:
        family, _, seed = folder.name.rpartition("-")
        scene.reset(draw(FAMILIES[family], int(seed), len(scene.description.joints)).layout)
        for qpos in np.load(folder / MOTION)["qpos"]:
            scene.show(qpos)
            depth.append([_patches(views.depth(role).clip(0, _FAR_M), patch) for role in ROLES])
            seen.append([_shares(views.things(role), patch) for role in ROLES])
    return {"depth": np.array(depth, np.float16), "sam": np.array(seen, np.float16)}


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
