"""Deadlines, without a clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.runtime.guardian.schedule import Schedule


@given(
    st.floats(0, 1e6),
    st.floats(0.001, 1.0),
    st.lists(st.floats(0, 20), min_size=1, max_size=50),
    st.lists(st.floats(0, 5), min_size=50, max_size=50),
)
def test_cycles_start_on_the_grid_and_never_burst(
    start_s: float, period_s: float, works: list[float], oversleeps: list[float]
) -> None:
    """Whatever the work and the sleep take (in periods), no deadline is started twice or early.

    Deadlines that passed during the work are skipped, no more and no fewer.
    """
    schedule, tick, now = Schedule(start_s, period_s), 0, start_s
    for work, oversleep in zip(works, oversleeps, strict=False):
        now = max(now, schedule.deadline(tick)) + oversleep * period_s
        now += work * period_s
        following = schedule.next_tick(tick, now)
        assert following > tick
        tolerance = 1e-9 * (now + period_s)  # of adding up floating-point times
        assert schedule.deadline(following) >= now - tolerance
        assert following == tick + 1 or schedule.deadline(following - 1) < now + tolerance
        tick = following


@pytest.mark.parametrize(
    ("now_s", "tick"),
    [(10.0, 1), (10.09, 1), (10.11, 2), (10.25, 3), (11.001, 11), (3.0, 1)],
)
def test_the_next_deadline(now_s: float, tick: int) -> None:
    """Ten per second from 10 s on, after the first one."""
    assert Schedule(10.0, 0.1).next_tick(0, now_s) == tick


def test_the_grid_does_not_drift() -> None:
    """After a million cycles the deadline is still start + a million periods."""
    schedule, tick = Schedule(5.0, 1 / 30), 0
    for _ in range(1000):
        tick = schedule.next_tick(tick, schedule.deadline(tick) + 0.02)
    assert tick == 1000
    assert schedule.deadline(1_000_000) == pytest.approx(5.0 + 1_000_000 / 30, rel=1e-12)
