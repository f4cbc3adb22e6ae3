"""The time base and the pace of a run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.runtime.errors import LatencyError
from dreamvla_edge.runtime.guardian.message import Waypoint
from dreamvla_edge.runtime.guardian.plan import PlanError, make_plan
from dreamvla_edge.runtime.pilot.pace import Pace
from dreamvla_edge.runtime.pilot.time_base import SPARE, TimeBase, choose

PERIOD_S = 1 / 30
REAL = TimeBase("real", 0.1, 1.0)
STRETCHED = TimeBase("stretched", 0.4, 0.25)


@pytest.mark.parametrize(
    ("wish", "step_s", "name"),
    [
        ("auto", 0.049, "real"),  # two steps fit into three periods of 33 ms
        ("auto", 0.051, "stretched"),
        ("real", 0.066, "real"),  # two periods are left of three waypoints
        ("stretched", 0.001, "stretched"),
    ],
)
def test_which_time_base(wish: str, step_s: float, name: str) -> None:
    """By how long a step takes and how many waypoints there are."""
    base = choose(wish, [step_s] * 5, PERIOD_S, 3)  # type: ignore[arg-type]
    assert base.name == name
    if name == "real":
        assert (base.period_s, base.factor) == (PERIOD_S, 1.0)


def test_real_time_is_refused_where_it_cannot_be() -> None:
    """A step that takes longer than the waypoints last, or a speed that is not the data set's."""
    with pytest.raises(LatencyError, match="takes 67 ms"):
        choose("real", [0.067] * 5, PERIOD_S, 3)
    with pytest.raises(LatencyError, match="at most 0 ms"):
        choose("real", [0.001] * 5, PERIOD_S, 1)
    with pytest.raises(LatencyError, match="0.25 of the speed"):
        choose("real", [0.001] * 5, PERIOD_S, 3, 0.25)


@given(st.floats(0.001, 5), st.floats(0.05, 1), st.integers(2, 8))
def test_stretched_time(step_s: float, speed: float, waypoints: int) -> None:
    """Slow enough for every step and for the speed that was asked for; never faster than real."""
    base = choose("stretched", [step_s] * 5, PERIOD_S, waypoints, speed)
    assert base.period_s == pytest.approx(max(PERIOD_S / speed, step_s * SPARE))
    assert base.factor == pytest.approx(PERIOD_S / base.period_s)
    assert base.factor <= speed + 1e-12


def test_only_the_slowest_steps_may_be_slower() -> None:
    """95 of a hundred fit."""
    steps = [0.01] * 96 + [1.0] * 4
    assert choose("auto", steps, PERIOD_S, 3).name == "real"
    assert choose("auto", [0.01] * 90 + [1.0] * 10, PERIOD_S, 3).name == "stretched"


def test_real_time_keeps_its_grid() -> None:
    """Steps at 5.0, 5.1, ...; missed ones are looked at, and the last is decided upon."""
    pace = Pace(REAL, window=4)
    pace.restart(5.0)
    assert not pace.begun and pace.next_s == 5.0
    assert pace.times_s(5.02) == [5.02]
    pace.taken(5.02)
    assert pace.begun and pace.next_s == pytest.approx(5.1)
    assert pace.times_s(5.35) == pytest.approx([5.1, 5.2, 5.35])
    pace.taken(5.35)
    assert pace.next_s == pytest.approx(5.4)
    pace.took(0.25)
    assert pace.period_s == 0.1 and pace.factor == 1.0
    assert pace.times_s(7.05) == pytest.approx([6.7, 6.8, 6.9, 7.05])  # no more than the window
    assert pace.origin_ns(1_000, 999_999_999) == 1_000


def test_stretched_time_follows_the_machine() -> None:
    """The period is never shorter than nearly all of the last twenty steps."""
    pace = Pace(STRETCHED, window=4)
    pace.restart(5.0)
    for step in range(30):
        assert pace.times_s(9.0) == [9.0]
        pace.taken(pace.next_s)
        pace.took(0.1)
        assert pace.next_s == pytest.approx(5.0 + (step + 1) * 0.4)
    assert (pace.period_s, pace.factor) == (0.4, 0.25)
    for _ in range(20):
        pace.took(0.8)
    assert pace.period_s == pytest.approx(0.8 * SPARE)
    assert pace.factor == pytest.approx(0.1 / (0.8 * SPARE))
    for _ in range(20):
        pace.took(0.1)
    assert pace.period_s == 0.4


def test_stretched_time_makes_up_for_nothing() -> None:
    """After a long step the next one is due now, and the one after it a period later."""
    pace = Pace(STRETCHED, window=4)
    pace.restart(5.0)
    pace.taken(5.0)
    pace.taken(8.0)
    assert pace.next_s == 8.0
    pace.taken(8.0)
    assert pace.next_s == pytest.approx(8.4)


def test_stretched_waypoints_move_instead_of_being_lost() -> None:
    """At least half a period is left to reach the first, which lies one after the origin."""
    pace = Pace(STRETCHED, window=4)
    seen = 10_000_000_000
    assert pace.origin_ns(seen, seen + 100_000_000) == seen
    late = seen + 900_000_000
    assert pace.origin_ns(seen, late) == late - 200_000_000


@given(st.floats(0.01, 10), st.floats(0, 12))
def test_the_guardian_follows_as_many_waypoints(period_s: float, took_s: float) -> None:
    """All of them, of a machine however slow, and not one more."""
    pace = Pace(TimeBase("stretched", period_s, 0.1 / period_s), window=4)
    seen_ns, now_ns = 20_000_000_000, 20_000_000_000 + round(took_s * 1e9)
    origin_ns, place = pace.origin_ns(seen_ns, now_ns), np.zeros(1)
    way = [
        Waypoint(origin_ns + round(number * period_s * 1e9), place, 0.0)
        for number in range(1, pace.ahead + 2)
    ]
    assert make_plan(tuple(way[:-1]), now_ns / 1e9, place).end_s == way[-2].time_ns / 1e9
    if origin_ns == now_ns:
        later = Waypoint(way[-1].time_ns + 1000, place, 0.0)  # by more than rounding
        with pytest.raises(PlanError, match="more than 10 s ahead"):
            make_plan((*way[:-1], later), now_ns / 1e9, place)
