"""What samplers take and give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Predict = Callable[[FloatArray, npt.NDArray[np.int32]], FloatArray]
"""(x (B, P, 7), diffusion times (B,)) → guided noise predictions (B, P, 7)."""


@dataclass(frozen=True, eq=False)
class Sampled:
    """What came out, and what a warm start of the next control step needs.

    actions (P, 7); noise (P, 7): from where; starts (n, P, 7): the prediction of the actions at
    each time of the grid, the last one is `actions`; streams: how many times the denoiser's
    weights were read; residual: by how much the last sweep of a parallel sampler changed an
    action at most, 0 for a sequential one.
    """

    actions: FloatArray
    noise: FloatArray
    starts: FloatArray
    streams: int
    residual: float = 0.0
