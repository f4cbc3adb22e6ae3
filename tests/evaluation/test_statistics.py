"""Intervals and tests against what defines them."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.sim.evaluation.statistics import compare, wilson

Z95 = 1.959963984540054


@given(st.integers(1, 500), st.data())
def test_wilson_ends_are_where_the_score_test_turns(count: int, data: st.DataObject) -> None:
    """A true share at either end is z deviations away from the one that was seen."""
    successes = data.draw(st.integers(0, count))
    share = wilson(successes, count)
    assert 0 <= share.low <= share.mean <= share.high <= 1
    for end in (share.low, share.high):
        if 1e-9 < end < 1 - 1e-9:
            deviation = math.sqrt(end * (1 - end) / count)
            assert abs(share.mean - end) / deviation == pytest.approx(Z95, rel=1e-6)
        else:
            assert successes in (0, count)


def test_nothing_is_known_of_nothing() -> None:
    """No trials, no share."""
    share = wilson(0, 0)
    assert math.isnan(share.mean) and (share.low, share.high) == (0.0, 1.0)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12))
def test_mcnemar_by_counting(pairs: list[tuple[bool, bool]]) -> None:
    """Of all ways to say which of a pair is which, those that are as far apart or farther."""
    found = compare([a for a, _ in pairs], [b for _, b in pairs])
    signs = [a - b for a, b in pairs if a != b]
    away = abs(sum(signs))
    as_far = [abs(sum(way)) >= away for way in itertools.product((-1, 1), repeat=len(signs))]
    assert found.p == pytest.approx(sum(as_far) / len(as_far))
    assert found.mean == pytest.approx(sum(signs) / len(pairs))
    assert found.better - found.worse == sum(signs)


@pytest.mark.parametrize(("first", "second", "agree"), [(0.7, 0.6, 0.8), (0.85, 0.8, 0.0)])
def test_the_bound_holds_as_often_as_it_says(first: float, second: float, agree: float) -> None:
    """Simulated pairs with a known difference; 95 % within what 2000 repetitions can tell."""
    random, held = np.random.default_rng(0), 0
    for _ in range(2000):
        shared = random.random(100) < agree
        draws = random.random((2, 100))
        draws[1][shared] = draws[0][shared]
        one, other = draws[0] < first, draws[1] < second
        held += compare(one.tolist(), other.tolist()).low <= first - second
    assert 0.93 <= held / 2000 <= 0.98  # above it would promise less than it knows


def test_equal_bundles_are_equal() -> None:
    """No seed tells them apart; the bound is as wide as 200 seeds leave it."""
    found = compare([True] * 180 + [False] * 20, [True] * 180 + [False] * 20)
    assert (found.mean, found.p, found.better, found.worse) == (0.0, 1.0, 0, 0)
    assert -0.06 < found.low <= 0


def test_different_lengths_are_refused() -> None:
    """They would not be pairs."""
    with pytest.raises(ValueError):
        compare([True], [True, False])
    with pytest.raises(ValueError, match="nothing"):
        compare([], [])
