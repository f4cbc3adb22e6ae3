"""Histograms and the ranges that observers find, against NumPy on the values themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamvla_edge.calibrate.histogram import BINS, OBSERVERS, Histogram, Range, step_of


def filled(*parts: np.ndarray) -> Histogram:
    """A histogram of these."""
    found = Histogram()
    for part in parts:
        found.add(part.astype(np.float32))
    return found


@given(st.integers(0, 1000), st.floats(0.01, 1000), st.integers(1, 6))
@settings(max_examples=50, deadline=None)
def test_it_counts_everything_however_large_it_becomes(seed: int, grows: float, parts: int) -> None:
    """No value is lost when bins become wider, and each is in its bin."""
    random = np.random.default_rng(seed)
    values = [random.normal(0, grows**i, (20, 3)).astype(np.float32) for i in range(parts)]
    found = filled(*values)
    every = np.concatenate(values)
    assert found.counts.sum() == every.size
    edges = (np.arange(BINS + 1) - BINS // 2) * found.width
    for at in (BINS // 4, BINS // 2, 3 * BINS // 4):  # sums are what a value in a wrong bin changes
        expected = int((every < edges[at]).sum())
        near = int((np.abs(every - edges[at]) < 1e-5 * found.width).sum())
        assert abs(int(found.counts[:at].sum()) - expected) <= near
    np.testing.assert_allclose(found.highs, np.maximum(every.max(0), 0), rtol=1e-6)
    np.testing.assert_allclose(found.lows, np.minimum(every.min(0), 0), rtol=1e-6)
    assert found.whole == Range(float(found.lows.min()), float(found.highs.max()))


def test_min_max_is_everything() -> None:
    """And always holds 0."""
    assert OBSERVERS["min-max"](filled(np.array([[2.0, 3.0]])), 99, True) == Range(0.0, 3.0)


@pytest.mark.parametrize("percentile", [90.0, 99.0, 99.9])
def test_percentiles(percentile: float) -> None:
    """Against NumPy's, to a bin."""
    values = np.random.default_rng(0).standard_t(3, (50_000, 1))
    found = filled(values)
    low, high = OBSERVERS["percentile"](found, percentile, True)
    rare = (100 - percentile) / 2
    wanted = np.percentile(values, (rare, 100 - rare), method="inverted_cdf")
    np.testing.assert_allclose((low, high), wanted, atol=found.width)


@pytest.mark.parametrize("signed", [True, False])
def test_least_squares_is_better_than_everything(signed: bool) -> None:
    """Measured on the values, for tails that are long; for none it keeps nearly all."""
    random = np.random.default_rng(1)
    values = random.standard_t(2.5, 40_000).astype(np.float32)
    found = filled(values[:, None])

    def cost(span: Range) -> float:
        step = step_of(span, signed)
        low, high = (-127 * step, 127 * step) if signed else span
        zero = 0 if signed else round(-low / step)
        whole = np.round(values.clip(low, high) / step) + zero
        return float(np.square(values - (whole - zero) * step).mean())

    best = OBSERVERS["mse"](found, 99, signed)
    assert cost(best) < 0.95 * cost(found.whole)
    tried = [
        cost(Range(s * found.whole.low, s * found.whole.high)) for s in np.linspace(0.3, 1, 30)
    ]
    assert cost(best) < 1.02 * min(tried)
    even = filled(random.uniform(-1, 1, (40_000, 1)))
    assert OBSERVERS["mse"](even, 99, signed).high > 0.98


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    """It would make every range useless."""
    with pytest.raises(ValueError, match="not finite"):
        filled(np.array([[1.0, bad]]))
