"""Observations that every process draws alike, from the number of the step."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dreamvla_edge.runtime.manifest import Manifest
from dreamvla_edge.runtime.specification import CameraSpecification

INSTRUCTION = "push the blue block to the left"
BLOCK = 8
"""Frames are blocks of this many pixels, so that they differ in more than fine noise."""


class Observation(NamedTuple):
    """One step: raw uint8 frames, raw state (7 or 8), sampler noise (S, P, 7) of all slots."""

    primary: npt.NDArray[np.uint8]
    wrist: npt.NDArray[np.uint8]
    state: npt.NDArray[np.float32]
    noise: npt.NDArray[np.float32]


def observation(manifest: Manifest, step: int) -> Observation:
    """What the cameras and the arm show at a step, counted from 0."""
    rng = np.random.default_rng([step])
    network, specification = manifest.network, manifest.specification
    primary, wrist = (_frame(rng, camera) for camera in specification.cameras)
    state = rng.uniform(-1, 1, specification.state.size).astype(np.float32)
    noise = rng.standard_normal((network.window, network.action_steps, 7), np.float32)
    return Observation(primary, wrist, state, noise)


def _frame(rng: np.random.Generator, camera: CameraSpecification) -> npt.NDArray[np.uint8]:
    blocks = -(-camera.height // BLOCK), -(-camera.width // BLOCK), 3
    frame = rng.integers(0, 256, blocks, np.uint8).repeat(BLOCK, 0).repeat(BLOCK, 1)
    return np.ascontiguousarray(frame[: camera.height, : camera.width])
