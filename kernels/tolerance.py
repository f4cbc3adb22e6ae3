"""How far a kernel may be from its reference in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

FACTORS = {"masked_attention": 3.0, "denoise_half": 3.0, "denoise_int8": 3.0, "preprocess": 0.0}
"""Times the error of the reference in halves to the one in float64: the order of sums is free, and
a single case may be lucky. Preprocessing is the reference's own arithmetic and equals it."""


def error(found: Array, wanted: Array) -> float:
    """Largest error relative to the largest magnitude wanted; NaN for any number not finite."""
    if not (np.isfinite(found).all() and np.isfinite(wanted).all()):
        return float("nan")
    scale = float(np.abs(wanted).max(initial=0))
    far = float(np.abs(found.astype(float) - wanted.astype(float)).max(initial=0))
    return far / scale if scale else far


def within(kernel: str, found: Array, wanted: Array, in_halves: Array) -> bool:
    """Whether a kernel's numbers are as near to float64 as halves allow; NaN never is."""
    allowed = FACTORS[kernel] * error(in_halves, wanted)
    return bool(error(found, wanted) <= allowed)
