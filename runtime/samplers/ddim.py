"""DDIM, step by step."""

from __future__ import annotations

import numpy as np

from dreamvla_edge.runtime.manifest import SamplerSpec

from .sampled import FloatArray, Predict, Sampled


def ddim(
    noise: FloatArray, predict: Predict, spec: SamplerSpec, before: Sampled | None = None
) -> Sampled:
    """Deterministic DDIM (arXiv 2010.02502, equation 12 with σ = 0).

    noise (P, 7) is the state at the first time; the last step goes to ᾱ = 1 and its data
    prediction is returned. Nothing is clipped, as in the released code.
    """
    first, x = begin(noise, spec, before)
    levels = (*spec.alpha_bar, 1.0)
    starts = []
    for index in range(first, len(spec.timesteps)):
        here, there = levels[index], levels[index + 1]
        epsilon = predict(x[None], np.array([spec.timesteps[index]], np.int32))[0]
        start = (x - np.float32((1 - here) ** 0.5) * epsilon) / np.float32(here**0.5)
        x = np.float32(there**0.5) * start + np.float32((1 - there) ** 0.5) * epsilon
        starts.append(start)
    return Sampled(x, noise, np.stack(starts), len(starts))


def begin(noise: FloatArray, spec: SamplerSpec, before: Sampled | None) -> tuple[int, FloatArray]:
    """Which time of the grid a sequential sampler begins at, and the state (P, 7) there.

    Warm: the last actions with as much noise as there is at `warm_time` (SDEdit, arXiv
    2108.01073, algorithm 1), which anchors them to what was decided before.
    """
    if before is None or spec.warm_time is None:
        return 0, noise
    index = spec.timesteps.index(spec.warm_time)
    level = spec.alpha_bar[index]
    x = np.float32(level**0.5) * before.actions + np.float32((1 - level) ** 0.5) * noise
    return index, x
