"""Diffusion samplers: pure functions of noise, a noise prediction and what was sampled before."""

from collections.abc import Callable, Mapping

import numpy as np

from dreamvla_edge.runtime.manifest import SamplerSpec

from .ddim import ddim
from .dpm_solver import dpm_solver
from .parallel_ddim import parallel_ddim
from .sampled import FloatArray, Predict, Sampled

Sampler = Callable[[FloatArray, Predict, SamplerSpec, Sampled | None], Sampled]
SAMPLERS: Mapping[str, Sampler] = {
    "ddim": ddim,
    "dpm_solver": dpm_solver,
    "parallel_ddim": parallel_ddim,
}
"""By `SamplerSpec.kind`."""


def sample(
    noise: FloatArray, predict: Predict, spec: SamplerSpec, before: Sampled | None = None
) -> Sampled:
    """Actions (P, 7) from noise (P, 7).

    before: what the control step before this one sampled, None at a cold start; looked at only
    if the spec asks for warm starts.
    """
    return SAMPLERS[spec.kind](noise.astype(np.float32), predict, spec, before)


__all__ = ["SAMPLERS", "FloatArray", "Predict", "Sampled", "Sampler", "sample"]
