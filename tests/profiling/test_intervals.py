"""Intervals hold the truth as often as they say; ratios tell slower from chance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from dreamvla_edge.runtime.profiler.intervals import (
    Measured,
    correlation_time,
    median_interval,
    rank_variance,
    ratio,
    summary,
)

TRIALS = 2000
Random = np.random.Generator


def independent(random: Random, count: int) -> NDArray[np.float64]:
    """Skewed, as latencies are; the median is ln 2."""
    return random.exponential(size=count)


def alike(random: Random, count: int) -> NDArray[np.float64]:
    """A first-order autoregression with 0.8: one in nine says something new; the median is 0."""
    noise = random.standard_normal(count + 50)
    values = np.zeros(count + 50)
    for i in range(1, len(values)):
        values[i] = 0.8 * values[i - 1] + noise[i]
    return values[50:]


def coverage(draw: object, median: float, count: int, trials: int) -> float:
    """How often the interval holds the median."""
    assert callable(draw)
    random = np.random.default_rng(1)
    held = 0
    for _ in range(trials):
        low, high = median_interval(draw(random, count))
        held += low <= median <= high
    return held / trials


@pytest.mark.parametrize("count", [20, 50, 200])
def test_an_interval_holds_the_median_19_times_of_20(count: int) -> None:
    """2000 trials tell 95 % from 93.5 % by three deviations; ranks are whole, so it may be more."""
    assert 0.935 <= coverage(independent, math.log(2), count, TRIALS) <= 0.985


def test_measurements_that_are_alike_count_less() -> None:
    """Without the correlation time it would hold half of the time."""
    assert coverage(alike, 0.0, 200, 600) >= 0.9
    random = np.random.default_rng(0)
    signs = np.sign(independent(random, 100_000) - math.log(2))
    assert correlation_time(signs) == pytest.approx(1, abs=0.05)
    assert rank_variance(independent(random, 100_000)) == pytest.approx(1, abs=0.05)


def test_the_variance_of_signs_in_closed_form() -> None:
    """Signs of a Gaussian autoregression correlate as 2/pi asin(0.8^k), by Sheppard's formula."""
    expected = 1 + 2 * sum(2 / math.pi * math.asin(0.8**k) for k in range(1, 200))
    random = np.random.default_rng(2)
    found = np.mean([rank_variance(alike(random, 50_000)) for _ in range(4)])
    assert found == pytest.approx(expected, rel=0.08)


def test_a_summary() -> None:
    """Quantiles of 1 … 1001 ms, whose jitter is the distance of neighbours."""
    values = np.arange(1, 1002) / 1e3
    found = summary(values)
    assert (found.count, found.p50, found.max) == (1001, 0.501, 1.001)
    assert (found.p90, found.p99) == pytest.approx((0.901, 0.991))
    assert found.p999 == pytest.approx(1.0) and found.jitter == pytest.approx(1e-3)
    assert summary([2.0]).low == summary([2.0]).high == 2.0


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_what_cannot_be_summed_up(values: list[float]) -> None:
    """Nothing, and what is not finite."""
    with pytest.raises(ValueError, match="finite"):
        summary(values)


def test_two_runs_of_the_same_agree() -> None:
    """Of 400 pairs at most one in a hundred is told apart: 99.9 % intervals are compared."""
    random = np.random.default_rng(3)
    verdicts = [
        ratio(Measured(random.gamma(9, 1, 200)), Measured(random.gamma(9, 1, 200))).verdict
        for _ in range(400)
    ]
    assert verdicts.count("no difference") >= 396


def test_slower_and_faster() -> None:
    """A fifth is told from chance; the ratio is that of the medians."""
    random = np.random.default_rng(4)
    before = random.gamma(25, 1, 200)
    after = random.gamma(25, 1.2, 200)
    slower = ratio(Measured(after), Measured(before))
    faster = ratio(Measured(before), Measured(after))
    assert slower.verdict == "slower" and faster.verdict == "faster"
    assert slower.low < slower.ratio < slower.high
    assert slower.ratio == pytest.approx(np.median(after) / np.median(before))
    assert slower.low == pytest.approx(1 / faster.high)
    with pytest.raises(ValueError, match="above zero"):
        ratio(Measured([0.0, 0.0]), Measured([1.0]))
