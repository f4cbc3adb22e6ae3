"""The block mask of a bundle, from its table."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .manifest import NetworkSpec


def window_reads(spec: NetworkSpec) -> npt.NDArray[np.bool_]:
    """Which token of a full window may read which, in the released token order.

    bool (S·step, S·step) for the S·(A+Q+P) tokens; row = reader, column = read.
    """
    kind = np.tile(spec.step_kinds, spec.window)
    slot = np.repeat(np.arange(spec.window), len(spec.step_kinds))
    delta = slot[None, :] - slot[:, None]
    allowed = np.zeros(delta.shape, bool)
    for reader, read, first, last in spec.mask:
        pair = (kind[:, None] == reader) & (kind[None, :] == read)
        allowed |= pair & (first <= delta) & (delta <= last)
    return allowed
