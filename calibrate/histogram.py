"""What an activation is like: its extremes and how often it has which value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

BINS = 4096
_LEVELS = 255
_CANDIDATES = np.linspace(0.3, 1.0, 71)


class Range(NamedTuple):
    """What shall be told apart; beyond it all is one value. Holds 0."""

    low: float
    high: float


class Histogram:
    """Counts of all values seen, in bins that become wider when values do.

    counts (BINS,): of bins of this width around 0; lows, highs (C,): extremes of each channel,
    which are along the last axis; all hold 0. Memory does not grow with the data.
    """

    def __init__(
        self,
        counts: NDArray[np.int64] | None = None,
        width: float = 0.0,
        lows: NDArray[np.float32] | None = None,
        highs: NDArray[np.float32] | None = None,
    ) -> None:
        self.counts = np.zeros(BINS, np.int64) if counts is None else counts
        self.width = width
        self.lows = np.zeros(1, np.float32) if lows is None else lows
        self.highs = np.zeros(1, np.float32) if highs is None else highs

    def add(self, values: NDArray[Any]) -> None:
        """Values of any shape. Raises ValueError if one is not finite."""
        if not values.size:
            return
        low, high = float(values.min()), float(values.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            raise ValueError("an activation that is not finite")
        reach = max(high, -low, 1e-12)
        if self.width == 0.0:
            self.width = 2.0 * reach / BINS
        while reach > self.width * BINS / 2:  # pairs of bins become one, around the middle
            quarter = BINS // 4
            pairs = self.counts.reshape(-1, 2).sum(1)
            self.counts = np.zeros(BINS, np.int64)
            self.counts[quarter:-quarter] = pairs
            self.width *= 2
        index = np.floor(values / self.width).astype(np.int64).ravel() + BINS // 2
        self.counts += np.bincount(index.clip(0, BINS - 1), minlength=BINS)
        rows = values.reshape(-1, values.shape[-1])
        self.lows, self.highs = (
            np.minimum(self.lows, rows.min(0)),
            np.maximum(self.highs, rows.max(0)),
        )

    @property
    def whole(self) -> Range:
        """Everything that was seen."""
        return Range(float(self.lows.min()), float(self.highs.max()))

    @property
    def middles(self) -> NDArray[np.float64]:
        """Of all bins."""
        found: NDArray[np.float64] = (
            np.arange(BINS, dtype=np.float64) - BINS // 2 + 0.5
        ) * self.width
        return found


def min_max(seen: Histogram, percentile: float, signed: bool) -> Range:
    """Everything that was seen."""
    return seen.whole


def rarest_left_out(seen: Histogram, percentile: float, signed: bool) -> Range:
    """All but the rarest, as many on either side."""
    share = np.cumsum(seen.counts) / seen.counts.sum()
    rare = (1 - percentile / 100) / 2
    ends = (int(np.searchsorted(share, part)) for part in (rare, 1 - rare))
    low, high = (float(seen.middles[min(end, BINS - 1)]) for end in ends)
    whole = seen.whole
    return Range(max(min(low, 0.0), whole.low), min(max(high, 0.0), whole.high))


def least_squares(seen: Histogram, percentile: float, signed: bool) -> Range:
    """Where rounding and cutting off together cost least (mean squared error)."""
    values, whole = seen.middles, seen.whole

    def cost(share: float) -> float:
        tried = Range(share * whole.low, share * whole.high)
        step = step_of(tried, signed)
        cut = values.clip(*((-127 * step, 127 * step) if signed else tried))
        return float((np.square(values - np.round(cut / step) * step) * seen.counts).sum())

    best = min(_CANDIDATES, key=cost)
    return Range(best * whole.low, best * whole.high)


def step_of(found: Range, signed: bool) -> float:
    """Distance of two values that are told apart; signed: symmetric, zero point 0."""
    reach = max(found.high, -found.low) / 127 if signed else (found.high - found.low) / _LEVELS
    return max(reach, 1e-12)


OBSERVERS: Mapping[str, Callable[[Histogram, float, bool], Range]] = {
    "min-max": min_max,
    "percentile": rarest_left_out,
    "mse": least_squares,
}
"""By `Choice.observer`: of a histogram, with the percentile, for signed values or unsigned."""
