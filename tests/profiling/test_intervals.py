"""Intervals hold the truth as often as they say; ratios tell slower from chance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from dreamvla_edge.runtime.profiler.intervals import (
    Measured,
    median_interval,
    ratio,
    student_t,
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
    """Were they independent it would hold half of the time."""
    assert coverage(alike, 0.0, 200, 600) >= 0.9


def test_few_measurements_say_little() -> None:
    """Below five nothing is known but the smallest and the largest."""
    assert median_interval(np.array([3.0, 1.0, 2.0])) == (1.0, 3.0)
    assert coverage(independent, math.log(2), 5, TRIALS) >= 0.9


@pytest.mark.parametrize("freedom", [4, 7.5])
@pytest.mark.parametrize("share", [0.975, 0.9995])
def test_student_s_quantiles(freedom: float, share: float) -> None:
    """Against the integral of the density, in steps so small that they do not matter."""
    t = student_t(share, freedom)
    x = np.linspace(0, t, 20_001)
    scale = math.gamma((freedom + 1) / 2) / math.gamma(freedom / 2)
    density = scale / math.sqrt(freedom * math.pi) * (1 + x**2 / freedom) ** (-(freedom + 1) / 2)
    beyond = 0.5 - float(np.sum((density[1:] + density[:-1]) / 2)) * float(x[1])
    assert beyond == pytest.approx(1 - share, rel=0.06)


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


def test_slow_spells_make_no_difference() -> None:
    """A machine that is 15 % slower for 2 to 4 s at a time, at 10 decisions a second.

    Were 200 durations independent, one pair in four would be told apart.
    """
    random = np.random.default_rng(5)

    def spells() -> NDArray[np.float64]:
        slow = random.integers(0, 2, 16).repeat(random.integers(20, 40, 16))
        begin = random.integers(0, 100)
        return random.gamma(100, 0.01, 200) * (1 + 0.15 * slow[begin : begin + 200])

    verdicts = [ratio(Measured(spells()), Measured(spells())).verdict for _ in range(200)]
    assert verdicts.count("no difference") >= 196


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
    assert ratio(Measured(after), Measured([1.0])).verdict == "no difference"
    assert ratio(Measured([1.0, 1.0]), Measured([2.0, 2.0])).verdict == "faster"
    hardly_ever_waited_for = Measured([1e-9] * 5 + [1.0] * 3)
    assert ratio(hardly_ever_waited_for, Measured(before)).high == math.inf
