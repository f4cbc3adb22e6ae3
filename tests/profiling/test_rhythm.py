"""What waits for a rhythm is summed up as if its waits fell evenly, however they fell."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dreamvla_edge.runtime.cameras.history import pairs
from dreamvla_edge.runtime.profiler.intervals import (
    Measured,
    median_interval,
    ratio,
    student_t,
    summary,
)
from dreamvla_edge.runtime.profiler.rhythm import (
    Rhythm,
    evened,
    of_a_cycle,
    of_cameras,
    older_s,
)

Random = np.random.Generator
CYCLE_S = 0.01
PERIODS_S = (0.031, 0.027)
READING_S, LATE_S, DELIVERED_S = 0.005, 0.0005, 0.0005


def cycle(random: Random, count: int) -> tuple[NDArray[np.float64], Rhythm, float]:
    """Goals that wait for a cycle, and its 5 ms; of those in its last 1 ms half come too late.

    With the median of even waits: one in twenty waits for another cycle, which moves it by 0.5 ms.
    """
    waits = CYCLE_S * random.uniform(size=count)
    late = (waits < 2 * LATE_S) & (random.uniform(size=count) < 0.5)
    seconds = waits + READING_S + CYCLE_S * late + 1e-4 * random.standard_normal(count)
    return seconds, of_the_cycle(waits), READING_S + CYCLE_S / 2 + LATE_S


def met_early(random: Random, count: int) -> tuple[NDArray[np.float64], Rhythm, float]:
    """Waits of the second half of a cycle alone; the median is that of all."""
    waits = CYCLE_S * (0.5 + 0.5 * random.uniform(size=count))
    seconds = waits + READING_S + 1e-4 * random.standard_normal(count)
    return seconds, of_the_cycle(waits), READING_S + CYCLE_S / 2


def of_the_cycle(waits: NDArray[np.float64]) -> Rhythm:
    """Of decisions that wait so long for a multiple of it."""
    return of_a_cycle(list(5 - waits), 5.0, CYCLE_S)


def paired(random: Random, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ages (n,) of the older picture at steps of random phases, and of both (n, 2).

    From `pairs`, of stamps that both cameras leave in their rhythm; each picture is there 0.5 ms
    after it was taken.
    """
    older, both = [], []
    for first in random.uniform(size=(count, 2)) * PERIODS_S:
        stamps = [f + p * np.arange(8) for f, p in zip(first, PERIODS_S, strict=True)]
        there = [list(one[one <= 0.1 - DELIVERED_S]) for one in stamps]
        (pair,) = pairs([0.1], *there)
        ages = [0.1 - there[0][pair.primary], 0.1 - there[1][pair.wrist]]
        older.append(max(ages))
        both.append(ages)
    return np.array(older), np.array(both)


def cameras(random: Random, count: int) -> tuple[NDArray[np.float64], Rhythm, float]:
    """The older of two pictures, and 0.2 ms of something else."""
    older, both = paired(random, count)
    return older + 2e-4 * random.uniform(size=count), of_cameras(both, PERIODS_S), MEDIAN_S + 1e-4


MEDIAN_S = float(np.median(paired(np.random.default_rng(0), 40_000)[0]))


def test_waits_of_a_cycle() -> None:
    """Before and after the mark; at a multiple of the period there is nothing to wait for."""
    found = of_a_cycle([1.0, 1.25, 1.5, 0.875], 1.0, 0.5)
    assert found.waits == (0.0, 0.25, 0.0, 0.125)
    assert np.mean(found.even) == pytest.approx(0.25) and max(found.even) < 0.5


def test_the_pair_that_is_taken() -> None:
    """As the cameras' own code pairs frames; sometimes a picture older than both newest."""
    newest = np.random.default_rng(6).uniform(size=(500, 2)) * PERIODS_S
    expected = []
    for ages in newest:
        stamps = [sorted(-a - p * np.arange(8)) for a, p in zip(ages, PERIODS_S, strict=True)]
        (pair,) = pairs([0.0], *stamps)
        expected.append(-min(stamps[0][pair.primary], stamps[1][pair.wrist]))
    found = older_s(newest, PERIODS_S)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert np.mean(found > newest.max(1)) > 0.1


@pytest.mark.parametrize("count", [50, 200])
@pytest.mark.parametrize("draw", [cycle, cameras])
def test_an_interval_holds_the_median_of_even_waits(draw: object, count: int) -> None:
    """95 % of 200 trials are at least 180 but once in a thousand; it is half of the plain one."""
    assert callable(draw)
    random, held, widths = np.random.default_rng(1), 0, []
    for _ in range(200):
        seconds, rhythm, median = draw(random, count)
        low, high = median_interval(seconds, rhythm=rhythm)
        held += low <= median <= high
        plain = median_interval(seconds)
        widths.append((high - low) / (plain[1] - plain[0]))
    assert held >= 180
    assert np.median(widths) < 0.6


def test_phases_that_a_run_did_not_have() -> None:
    """Goals that always just missed a cycle: the median is that of all phases."""
    seconds, rhythm, median = met_early(np.random.default_rng(2), 200)
    assert np.median(seconds) > median + 0.002
    found = summary(seconds.tolist(), rhythm)
    assert found.low <= median <= found.high
    assert found.p50 == pytest.approx(median, abs=3e-4)
    assert found.p90 == pytest.approx(READING_S + 0.9 * CYCLE_S, abs=3e-4)
    assert found.max == max(seconds)


def test_what_does_not_follow_the_rhythm_is_not_hidden() -> None:
    """Durations that are twice as long are so after evening, and as uncertain as they are."""
    random = np.random.default_rng(3)
    rhythm = of_the_cycle(CYCLE_S * random.uniform(size=200))
    seconds = random.exponential(0.1, 200)
    plain, found = summary(seconds.tolist()), summary(seconds.tolist(), rhythm)
    assert found.p50 == pytest.approx(plain.p50, abs=CYCLE_S)
    assert found.high - found.low > 0.7 * (plain.high - plain.low)


def test_one_may_always_come_too_late() -> None:
    """Of 50 that all kept to the cycle the median is not known exactly: one in 50 moves it."""
    waits = CYCLE_S * np.random.default_rng(7).uniform(size=50)
    found = summary((waits + READING_S).tolist(), of_the_cycle(waits))
    half_s = student_t(0.975, 7) * CYCLE_S / 50
    assert (found.high - found.low) / 2 == pytest.approx(half_s, rel=0.1)


def test_two_runs_with_other_phases_agree() -> None:
    """The plain medians differ by a quarter; these do not."""
    random = np.random.default_rng(4)
    early = Measured(*met_early(random, 200)[:2])
    waits = CYCLE_S * random.uniform(size=200)
    even = Measured(waits + READING_S, of_the_cycle(waits))
    assert ratio(early, even).verdict == "no difference"
    assert ratio(Measured(early.seconds), Measured(even.seconds)).verdict == "slower"
    assert ratio(Measured(waits + 1.3 * READING_S, even.rhythm), even).verdict == "slower"


def test_shares_are_those_of_even_waits() -> None:
    """Without anything but the wait they are a straight line from 0 to 1."""
    waits = CYCLE_S * np.random.default_rng(5).uniform(size=20)
    found = evened(waits + READING_S, of_the_cycle(waits))
    at = READING_S + CYCLE_S * np.array([-0.1, 0.25, 0.5, 1.1])
    np.testing.assert_allclose(found.share_below(at), [0, 0.25, 0.5, 1], atol=1e-9)
    # Where a value and what was expected differ by a rounding, the share is one of 20 off.
    np.testing.assert_allclose(found.quantiles((0.25, 0.5)), at[1:3], atol=CYCLE_S / 20)


@pytest.mark.parametrize("even", [(), (0.2, 0.1)])
def test_what_is_no_rhythm(even: tuple[float, ...]) -> None:
    """No wait that could be, and waits in no order."""
    with pytest.raises(ValueError, match="rise"):
        Rhythm((0.1,), even)
