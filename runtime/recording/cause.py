"""One possible cause of a slow or shaking arm, and how much speaks for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Cause:
    """What was looked for and found.

    score: the measured value over the bound from which on it matters, so 1 and above names a
    cause; evidence: what was measured, with units; cure: what to do about it.
    """

    name: str
    score: float
    evidence: str
    cure: str


def percentile(values: ArrayLike, percent: float) -> float:
    """Of the finite values; 0 if there are none."""
    array = np.asarray(values, float)
    finite = array[np.isfinite(array)]
    return float(np.percentile(finite, percent)) if finite.size else 0.0
