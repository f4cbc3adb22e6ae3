"""Quantiles of latencies, how sure a median is, and whether two medians differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.specification import Contract

from .rhythm import Rhythm, evened

CONFIDENCE = 0.95
"""Of the interval of a median."""
COMPARED = 0.999
"""Of the interval of a ratio: with a dozen stages compared at once, one comparison in a hundred
calls something different that is not."""
BATCHES = 6
"""Of values that follow one another: so many would fit into a run side by side. Fewer cannot tell a
difference; more are so short that a slow spell is in several."""
_BEGINS = 4  # batches begin in the length of one: more say hardly anything new
_FEW = 5  # values of which nothing more is known than the smallest and the largest


class Summary(Contract, frozen=True):
    """Durations [s]: how many, quantiles, the largest, and the interval (low, high) of the median.

    jitter: mean absolute difference of one to the next (as in RFC 3550, section 6.4.1, without
    its smoothing).
    """

    count: int
    p50: float
    low: float
    high: float
    p90: float
    p99: float
    p999: float
    max: float
    jitter: float

    @property
    def half_width(self) -> float:
        """The larger half of the interval, as a share of the median; infinite for a median of 0."""
        half = max(self.high - self.p50, self.p50 - self.low)
        return half / self.p50 if self.p50 > 0 else math.inf


def summary(seconds: Sequence[float], rhythm: Rhythm | None = None) -> Summary:
    """Of at least one duration, in the order in which they were measured.

    rhythm: that every one of them waited for: quantiles and interval are then those of waits that
    are spread evenly (see `rhythm.evened`), not of how they happened to fall. Raises ValueError if
    there is no duration or one is not finite.
    """
    values = np.asarray(seconds, float)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"{values.size} durations, which must be at least one and finite")
    low, high = median_interval(values, rhythm=rhythm)
    longest = float(values.max())
    # Even waits may be longer than any that was met; nobody is told of one that was not.
    p50, p90, p99, p999 = (
        min(float(q), longest) for q in _quantiles(values, (0.5, 0.9, 0.99, 0.999), rhythm)
    )
    jitter = float(np.abs(np.diff(values)).mean()) if values.size > 1 else 0.0
    return Summary(values.size, p50, max(low, 0.0), high, p90, p99, p999, longest, jitter)


def median_interval(
    values: NDArray[np.float64], rhythm: Rhythm | None = None
) -> tuple[float, float]:
    """Interval of the median of values in the order in which they were measured."""
    if len(values) < _FEW:
        return float(values.min()), float(values.max())
    found = estimate(values, rhythm)
    half = student_t((1 + CONFIDENCE) / 2, found.freedom) * found.error
    return found.median - half, found.median + half


class Estimate(NamedTuple):
    """A median, its standard error, and the degrees of freedom of that."""

    median: float
    error: float
    freedom: float


def estimate(values: NDArray[np.float64], rhythm: Rhythm | None = None) -> Estimate:
    """From values in their order; the error of a single one is infinite.

    It follows from the medians of batches, which also differ where a machine is slow for some
    seconds. Batches overlap: the same values tell the error as if there were half as many more
    (Meketon and Schmeiser, Proceedings of the Winter Simulation Conference 1984, p. 227).
    """
    count = len(values)
    if count == 1:
        return Estimate(float(values[0]), math.inf, 1)
    size = math.ceil(count / BATCHES)
    begins = {*range(0, count - size, max(size // _BEGINS, 1)), count - size}
    batches = [np.arange(begin, begin + size) for begin in begins]
    medians = np.array([_median(values[batch], rhythm and rhythm.at(batch)) for batch in batches])
    median = _median(values, rhythm)
    # The whole has less error than a batch, of which the distance to the whole shows but a part.
    squared = float(np.mean((medians - median) ** 2)) * size / (count - size)
    freedom = (count / size - 1) * (1.5 if size > 1 else 1)
    error = math.sqrt(squared)
    if rhythm is not None:  # even where none came too late for it, one might have
        share = 1 / len(values)
        low, high = _quantiles(values, (0.5 - share, 0.5 + share), rhythm)
        error = max(error, float(high - low) / 2)
    return Estimate(median, error, freedom)


def _median(values: NDArray[np.float64], rhythm: Rhythm | None) -> float:
    return float(_quantiles(values, (0.5,), rhythm)[0])


def student_t(share: float, freedom: float) -> float:
    """Quantile of Student's distribution, within 2 % from 4 degrees of freedom and 99.95 % on.

    Expansion from the normal one: Abramowitz and Stegun, Handbook of Mathematical Functions,
    26.7.5.
    """
    z = NormalDist().inv_cdf(share)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return sum(term / freedom**power for power, term in enumerate(terms))


def _quantiles(
    values: NDArray[np.float64], shares: Sequence[float], rhythm: Rhythm | None
) -> NDArray[np.float64]:
    if rhythm is None:
        return np.asarray(np.percentile(values, [100 * share for share in shares]))
    return evened(values, rhythm).quantiles(shares)


class Ratio(NamedTuple):
    """Of two medians, with its interval."""

    ratio: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """slower, faster, or no difference that could be told from chance."""
        if self.low > 1:
            return "slower"
        return "faster" if self.high < 1 else "no difference"


class Measured(NamedTuple):
    """Durations [s] in their order, and the rhythm that they waited for."""

    seconds: Sequence[float] | NDArray[np.float64]
    rhythm: Rhythm | None = None


def ratio(now: Measured, before: Measured) -> Ratio:
    """The median of `now` over that of `before`, both above zero.

    The interval is that of a difference of logarithms, whose errors are known differently well
    (Welch, Biometrika 34, 1947, p. 28). Raises ValueError if a median is not above zero.
    """
    pair = [estimate(np.asarray(one.seconds, float), one.rhythm) for one in (now, before)]
    if not min(one.median for one in pair) > 0:
        raise ValueError(f"medians {[one.median for one in pair]}, which must be above zero")
    middle = math.log(pair[0].median / pair[1].median)
    squares = [(one.error / one.median) ** 2 for one in pair]
    if max(squares) >= 1:  # an error as large as the median: anything may be true
        return Ratio(math.exp(middle), 0.0, math.inf)
    parts = sum(square**2 / one.freedom for square, one in zip(squares, pair, strict=True))
    freedom = sum(squares) ** 2 / parts if parts > 0 else math.inf
    half = student_t((1 + COMPARED) / 2, freedom) * math.sqrt(sum(squares))
    return Ratio(math.exp(middle), math.exp(middle - half), math.exp(middle + half))
