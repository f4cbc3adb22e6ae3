"""Quantiles of latencies, how sure a median is, and whether two medians differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.specification import Contract

CONFIDENCE = 0.95
"""Of the interval of a median."""
COMPARED = 0.999
"""Of the interval of a ratio: with a dozen stages compared at once, one comparison in a hundred
calls something different that is not."""
_BATCH = 5
"""Durations in a row whose mean phase is nearly that of all, where phases are spread evenly."""
_LEAST_TIME = 0.7
"""Of a correlation: that of a few dozen independent batches comes out between 0.7 and 1.3."""
_LARGEST_LAG = 1 / 3  # share of a series; later autocovariances have too few terms


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


def summary(seconds: Sequence[float]) -> Summary:
    """Of at least one duration, in the order in which they were measured.

    Raises ValueError if there is none or one is not finite.
    """
    values = np.asarray(seconds, float)
    if values.size == 0 or not np.isfinite(values).all():
        raise ValueError(f"{values.size} durations, which must be at least one and finite")
    low, high = median_interval(values)
    p50, p90, p99, p999 = (float(q) for q in np.percentile(values, (50, 90, 99, 99.9)))
    jitter = float(np.abs(np.diff(values)).mean()) if values.size > 1 else 0.0
    return Summary(values.size, p50, low, high, p90, p99, p999, float(values.max()), jitter)


def median_interval(
    values: NDArray[np.float64], confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Interval of the median of values in the order in which they were measured.

    Two order statistics (David and Nagaraja, Order Statistics, 3rd ed., section 7.1), with the
    normal approximation of their ranks and Student's t, since their variance is estimated: how
    many values lie above the median is counted in batches (Law, Simulation Modeling and Analysis,
    section 9.5.3), which vary more than chance where a machine drifts and less where the phases
    of cameras and cycles are spread evenly.
    """
    ordered, count = np.sort(values), len(values)
    variance, batches = rank_variance(values)
    half = _student((1 + confidence) / 2, batches - 1) * math.sqrt(count * variance) / 2
    first = max(math.floor(count / 2 - half), 0)
    last = min(math.ceil(count / 2 + half), count - 1)
    return float(ordered[first]), float(ordered[last])


def rank_variance(values: NDArray[np.float64]) -> tuple[float, int]:
    """Variance of the rank of the median, against independent values; and of how many batches.

    Above 1 where values that follow one another are alike, below where they make up for each
    other. Batches that are alike count less.
    """
    size = _BATCH if len(values) >= 4 * _BATCH else 1
    count = len(values) // size
    if count < 2:
        return 1.0, 2
    above = np.sign(values - np.median(values))[: count * size].reshape(count, size).sum(1)
    variance = float(above @ above) / (count - 1) / size
    return max(variance, 1 / _BATCH) * correlation_time(above), count


def correlation_time(series: NDArray[np.float64]) -> float:
    """How many terms in a row of a series around zero say as much as one.

    1 + 2 sum of the autocorrelations, as long as pairs of them are positive (Geyer, Statistical
    Science 7, 1992, section 3.3: the initial positive sequence).
    """
    variance = float(series @ series)
    if variance == 0:
        return 1.0
    total, lag = -1.0, 0  # the autocorrelation at lag 0 is counted twice below
    while lag + 1 <= max(1, int(len(series) * _LARGEST_LAG)) and lag + 1 < len(series):
        pair = sum(float(series[: len(series) - k] @ series[k:]) / variance for k in (lag, lag + 1))
        if pair <= 0:
            break
        total += 2 * pair
        lag += 2
    return max(_LEAST_TIME, total)


def _student(probability: float, freedom: int) -> float:
    """Quantile of Student's t (Abramowitz and Stegun, 26.7.5)."""
    z, n = NormalDist().inv_cdf(probability), float(freedom)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + sum(term / n**power for power, term in enumerate(terms, 1))


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


def ratio(now: Sequence[float], before: Sequence[float], confidence: float = COMPARED) -> Ratio:
    """The median of `now` over that of `before`, both above zero.

    The interval follows from both medians' own, on the logarithmic scale (MOVER: Zou and Donner,
    Statistics in Medicine 27, 2008, p. 1693). Raises ValueError if a median is not above zero.
    """
    pair = [np.asarray(values, float) for values in (now, before)]
    medians = [float(np.median(values)) for values in pair]
    if not min(medians) > 0:
        raise ValueError(f"medians {medians}, which must be above zero")
    intervals = [median_interval(values, confidence) for values in pair]
    middle = math.log(medians[0] / medians[1])
    if min(low for low, _ in intervals) <= 0:
        return Ratio(math.exp(middle), 0.0, math.inf)
    down = [math.log(median / low) for median, (low, _) in zip(medians, intervals, strict=True)]
    up = [math.log(high / median) for median, (_, high) in zip(medians, intervals, strict=True)]
    low = math.exp(middle - math.hypot(down[0], up[1]))
    return Ratio(math.exp(middle), low, math.exp(middle + math.hypot(up[0], down[1])))
