"""Diffusion samplers as pure functions of a noise prediction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from .manifest import SamplerSpec

FloatArray = npt.NDArray[np.float32]
Predict = Callable[[FloatArray, int], FloatArray]
"""(x (P, 7), diffusion time) → guided noise prediction (P, 7)."""


def ddim(noise: FloatArray, predict: Predict, spec: SamplerSpec) -> FloatArray:
    """Deterministic DDIM (arXiv 2010.02502, equation 12 with σ = 0).

    noise (P, 7) is the state at the first time step; the last step goes to ᾱ = 1 and its data
    prediction is returned. Nothing is clipped, as in the released code.
    """
    levels = (*spec.alpha_bar, 1.0)
    x = noise.astype(np.float32)
    for index, time in enumerate(spec.timesteps):
        here, there = levels[index], levels[index + 1]
        epsilon = predict(x, time)
        start = (x - np.float32((1 - here) ** 0.5) * epsilon) / np.float32(here**0.5)
        x = np.float32(there**0.5) * start + np.float32((1 - there) ** 0.5) * epsilon
    return x


SAMPLERS = {"ddim": ddim}
"""By `SamplerSpec.kind`."""
