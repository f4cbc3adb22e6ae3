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
_MORE = 2
"""So many more values than did are taken to lie elsewhere than their rhythm says: a few of them, or
none, may be luck (as in Agresti and Coull, The American Statistician 52, 1998, p. 119)."""
_LEAST_TIME = 0.7
"""Of a correlation: that of a few dozen independent values comes out between 0.7 and 1.3."""
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
    return Summary(values.size, p50, low, high, p90, p99, p999, longest, jitter)


def median_interval(
    values: NDArray[np.float64],
    confidence: float = CONFIDENCE,
    rhythm: Rhythm | None = None,
) -> tuple[float, float]:
    """Interval of the median of values in the order in which they were measured.

    Two quantiles (David and Nagaraja, Order Statistics, 3rd ed., section 7.1), with the normal
    approximation of their ranks and as many values as say something new.
    """
    count = len(values)
    variance = rank_variance(values) if rhythm is None else _variance_beside(values, rhythm)
    half = NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(variance / count) / 2
    if rhythm is not None:
        low, high = _quantiles(values, (0.5 - half, 0.5 + half), rhythm)
        return float(low), float(high)
    ordered = np.sort(values)
    first = max(math.floor(count / 2 - count * half), 0)
    last = min(math.ceil(count / 2 + count * half), count - 1)
    return float(ordered[first]), float(ordered[last])


def rank_variance(values: NDArray[np.float64]) -> float:
    """Variance of the rank of the median, against independent values.

    Above 1 where values that follow one another are alike, as where a machine drifts.
    """
    return correlation_time(np.sign(values - np.median(values)))


def _variance_beside(values: NDArray[np.float64], rhythm: Rhythm) -> float:
    """As `rank_variance`, of what the rhythm does not explain: the other side of the median than
    the wait alone would put a value on. These are the few that came too late, each by itself.
    """
    count = len(values)
    if count < 2:
        return 1.0
    found = evened(values, rhythm)
    (median,) = found.quantiles((0.5,))
    beside = np.sign(values - median) - np.sign(found.expected - median)
    beside = beside - beside.mean()
    return (float(beside @ beside) + 4 * _MORE) / count


def _quantiles(
    values: NDArray[np.float64], shares: Sequence[float], rhythm: Rhythm | None
) -> NDArray[np.float64]:
    if rhythm is None:
        return np.asarray(np.percentile(values, [100 * share for share in shares]))
    return evened(values, rhythm).quantiles(shares)


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


def ratio(now: Measured, before: Measured, confidence: float = COMPARED) -> Ratio:
    """The median of `now` over that of `before`, both above zero.

    The interval follows from both medians' own, on the logarithmic scale (MOVER: Zou and Donner,
    Statistics in Medicine 27, 2008, p. 1693). Raises ValueError if a median is not above zero.
    """
    pair = [(np.asarray(one.seconds, float), one.rhythm) for one in (now, before)]
    medians = [float(_quantiles(values, (0.5,), rhythm)[0]) for values, rhythm in pair]
    if not min(medians) > 0:
        raise ValueError(f"medians {medians}, which must be above zero")
    intervals = [median_interval(values, confidence, rhythm) for values, rhythm in pair]
    middle = math.log(medians[0] / medians[1])
    if min(low for low, _ in intervals) <= 0:
        return Ratio(math.exp(middle), 0.0, math.inf)
    down = [math.log(median / low) for median, (low, _) in zip(medians, intervals, strict=True)]
    up = [math.log(high / median) for median, (_, high) in zip(medians, intervals, strict=True)]
    low = math.exp(middle - math.hypot(down[0], up[1]))
    return Ratio(math.exp(middle), low, math.exp(middle + math.hypot(up[0], down[1])))
