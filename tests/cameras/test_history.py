"""One pair of frames for every training step, whatever the cameras and the policy do."""

from __future__ import annotations

import math
from itertools import accumulate, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.runtime.cameras.history import pairs, steps_due

PERIOD_S = 1 / 30
gaps = st.floats(1e-4, 0.3)
stamps = st.lists(gaps, min_size=1, max_size=30).map(lambda each: list(accumulate(each)))
times = st.lists(st.floats(0, 3), max_size=30).map(sorted)


@given(times, stamps, stamps)
def test_no_step_sees_the_future_and_each_has_one_pair(
    times_s: list[float], primary_s: list[float], wrist_s: list[float]
) -> None:
    """Every step at which both cameras had a frame, in order, and no other."""
    found = pairs(times_s, primary_s, wrist_s)
    known = [i for i, time_s in enumerate(times_s) if time_s >= max(primary_s[0], wrist_s[0])]
    assert [pair.time for pair in found] == known
    for pair in found:
        assert max(primary_s[pair.primary], wrist_s[pair.wrist]) <= times_s[pair.time]


@given(times, stamps, stamps)
def test_time_never_runs_back(
    times_s: list[float], primary_s: list[float], wrist_s: list[float]
) -> None:
    """For neither camera."""
    for before, after in pairwise(pairs(times_s, primary_s, wrist_s)):
        assert before.primary <= after.primary
        assert before.wrist <= after.wrist


@given(times, stamps, stamps)
def test_the_pair_of_the_newest_moment_that_both_cameras_saw(
    times_s: list[float], primary_s: list[float], wrist_s: list[float]
) -> None:
    """Against trying all frames: the older one of both newest, and the nearest of the other."""
    for pair in pairs(times_s, primary_s, wrist_s):
        known = [[s for s in each if s <= times_s[pair.time]] for each in (primary_s, wrist_s)]
        moment_s = min(known[0][-1], known[1][-1])
        found = (primary_s[pair.primary], wrist_s[pair.wrist])
        assert moment_s in found
        smallest = min(abs(s - moment_s) for s in known[0 if found[1] == moment_s else 1])
        assert abs(found[0] - found[1]) == smallest


@given(times, stamps, stamps)
def test_both_cameras_are_treated_alike(
    times_s: list[float], primary_s: list[float], wrist_s: list[float]
) -> None:
    """Exchanged, they give the same pairs exchanged."""
    one = pairs(times_s, primary_s, wrist_s)
    other = pairs(times_s, wrist_s, primary_s)
    assert [(p.time, p.primary, p.wrist) for p in one] == [
        (p.time, p.wrist, p.primary) for p in other
    ]


@given(
    start_s=st.floats(0, 1e6),
    rate_hz=st.floats(1, 120),
    waits_s=st.lists(st.floats(0, 0.3), max_size=30),
)
def test_every_step_is_due_once(start_s: float, rate_hz: float, waits_s: list[float]) -> None:
    """However irregularly somebody asks: no step twice, none left out, none early or late."""
    period_s, after, now_s = 1 / rate_hz, -1, start_s
    for wait_s in waits_s:
        now_s += wait_s
        due = steps_due(start_s, period_s, after, now_s, most=1000)
        assert due.start == after + 1
        assert all(start_s + n * period_s <= now_s for n in due)
        after = due[-1] if due else after
        # A rounding error of the clock at 10^6 s is 10^-10 s.
        assert start_s + (after + 1) * period_s > now_s - 1e-9


@given(start_s=st.floats(0, 1e6), rate_hz=st.floats(1, 120), number=st.integers(0, 10000))
def test_a_step_is_due_at_its_time_and_not_the_smallest_moment_before(
    start_s: float, rate_hz: float, number: int
) -> None:
    """Rounding in the division must not show a step that has not come."""
    period_s = 1 / rate_hz
    time_s = start_s + number * period_s
    before = steps_due(start_s, period_s, -1, math.nextafter(time_s, -math.inf), most=1)
    assert all(start_s + n * period_s < time_s for n in before)


def test_a_long_pause_fills_the_window_and_no_more() -> None:
    """Ten seconds later the window of ten holds the last ten steps."""
    assert steps_due(0.0, PERIOD_S, 3, 10.0, most=10) == range(291, 301)


def test_nothing_is_due_before_the_start() -> None:
    """Nor twice at the same moment."""
    assert not steps_due(5.0, PERIOD_S, -1, 4.9, most=10)
    assert steps_due(5.0, PERIOD_S, -1, 5.0, most=10) == range(0, 1)
    assert not steps_due(5.0, PERIOD_S, 0, 5.0, most=10)


@pytest.mark.parametrize("rate_hz", [7.0, 10.0, 20.0, 30.0])
def test_a_slow_policy_sees_the_same_window_as_a_fast_one(rate_hz: float) -> None:
    """The frames that reach the network do not depend on how often it is asked."""
    random = np.random.default_rng(0)
    camera = [i * PERIOD_S + random.uniform(0, 0.005) for i in range(300)]
    seen: list[int] = []
    after, start_s = -1, 0.2
    for tick in range(int(8 * rate_hz)):
        now_s = start_s + tick / rate_hz
        due = steps_due(start_s, PERIOD_S, after, now_s, most=10)
        known = [stamp for stamp in camera if stamp <= now_s]
        seen += [p.primary for p in pairs([start_s + n * PERIOD_S for n in due], known, known)]
        after = due[-1] if due else after
    at_once = pairs([start_s + n * PERIOD_S for n in range(len(seen))], camera, camera)
    assert seen == [pair.primary for pair in at_once]
    assert len(seen) > 230
