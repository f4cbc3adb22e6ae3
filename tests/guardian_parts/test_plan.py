"""Where the policy wants the arm between its waypoints."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.runtime.guardian.message import Waypoint
from dreamvla_edge.runtime.guardian.plan import PlanError, make_plan

NOW_S = 1000.0
START = np.array([0.1, -0.2])


def waypoint(after_s: float, *joints: float, gripper: float = 0.5) -> Waypoint:
    """So many seconds from now."""
    return Waypoint(round((NOW_S + after_s) * 1e9), np.array(joints), gripper)


steps = st.lists(st.floats(0.01, 0.5), min_size=1, max_size=8)
angles = st.floats(-3, 3)


@given(steps, st.lists(angles, min_size=16, max_size=16), st.floats(0, 1))
def test_straight_lines_between_waypoints(
    durations: list[float], joints: list[float], share: float
) -> None:
    """As numpy.interp has it, with the slope of the line as velocity."""
    times = list(accumulate(durations))
    rows = np.array(joints).reshape(8, 2)[: len(times)]
    plan = make_plan(
        tuple(waypoint(t, *row) for t, row in zip(times, rows, strict=True)), NOW_S, START
    )
    at_s = NOW_S + share * times[-1] * 0.999
    target = plan.at(at_s)
    assert target is not None
    knots = np.array([NOW_S, *(NOW_S + t for t in times)])
    for joint in range(2):
        values = [START[joint], *rows[:, joint]]
        assert target.joints[joint] == pytest.approx(np.interp(at_s, knots, values), abs=1e-5)
    after = np.searchsorted(knots, at_s, side="right")
    if min(abs(knots - at_s)) > 1e-6:
        all_rows = np.vstack([START, rows])
        slope = (all_rows[after] - all_rows[after - 1]) / (knots[after] - knots[after - 1])
        np.testing.assert_allclose(target.velocity, slope, rtol=1e-4, atol=1e-9)
    assert plan.end_s == pytest.approx(NOW_S + times[-1], abs=1e-6)


def test_after_the_last_waypoint_there_is_nothing() -> None:
    """Nothing is extrapolated."""
    plan = make_plan((waypoint(0.1, 1, 1),), NOW_S, START)
    assert plan.at(NOW_S + 0.0999) is not None
    assert plan.at(NOW_S + 0.1001) is None


def test_waypoints_that_have_passed_are_left_out() -> None:
    """The line begins now, at the start, and leads to the first one ahead."""
    plan = make_plan((waypoint(-0.1, 9, 9), waypoint(0.2, 0.5, 0.2)), NOW_S, START)
    target = plan.at(NOW_S + 0.1)
    assert target is not None
    np.testing.assert_allclose(target.joints, [0.3, 0.0], atol=1e-6)


def test_the_gripper_goes_at_once() -> None:
    """It gets the opening of the waypoint ahead: closing halfway is no plan of a policy."""
    plan = make_plan(
        (waypoint(0.1, 0, 0, gripper=1.0), waypoint(0.2, 0, 0, gripper=0.0)), NOW_S, START
    )
    openings = [plan.at(NOW_S + t).gripper for t in (0.0, 0.09, 0.11, 0.19)]  # type: ignore[union-attr]
    assert openings == [1.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("waypoints", "why"),
    [
        ((), "passed"),
        ((waypoint(-0.1, 0, 0), waypoint(0, 0, 0)), "passed"),
        ((waypoint(0.1, 0, np.nan),), "finite"),
        ((waypoint(0.1, np.inf, 0),), "finite"),
        ((waypoint(0.1, 0, 0, gripper=np.nan),), "finite"),
        ((waypoint(0.2, 0, 0), waypoint(0.1, 0, 0)), "rise"),
        ((waypoint(0.1, 0, 0), waypoint(0.1, 1, 1)), "rise"),
        ((waypoint(0.1, 0, 0), waypoint(10.1, 0, 0)), "10 s ahead"),
        ((waypoint(0.1, 0, 0, 0),), "2 joints"),
        ((waypoint(0.1, 0),), "2 joints"),
    ],
)
def test_what_is_refused(waypoints: tuple[Waypoint, ...], why: str) -> None:
    """As a whole: a plan with a hole is no plan."""
    with pytest.raises(PlanError, match=why):
        make_plan(waypoints, NOW_S, START)
