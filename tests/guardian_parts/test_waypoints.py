"""From a chunk to waypoints."""

from __future__ import annotations

import numpy as np
import pytest

from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.arms.kinematics import chain_of, forward
from dreamvla_edge.runtime.errors import ActionError
from dreamvla_edge.runtime.motion import Goal, advance
from dreamvla_edge.runtime.pilot.waypoints import route
from motion.specifications import JOINT_ACTION, POSE_ACTION

CHAIN = chain_of(load_description("so101"))
BENT = np.array([0.3, -0.4, 0.5, 1.2, 0.2])
ACTIONS = [np.array([0.5, -0.3, 0.2 * i, 0, 0, 0.1, 1.0 if i else -1.0]) for i in range(3)]
ORIGIN_NS, PERIOD_S = 5_000_000_000, 1 / 30


def test_each_delta_begins_where_the_one_before_it_led() -> None:
    """By hand: three times `advance`; one period apart, the first one period after the origin."""
    found = route(POSE_ACTION, CHAIN, ACTIONS, BENT, 0.5, ORIGIN_NS, PERIOD_S)
    goal = Goal(forward(CHAIN, BENT), BENT, 0.5)
    for number, (action, waypoint) in enumerate(zip(ACTIONS, found.waypoints, strict=True), 1):
        goal = advance(POSE_ACTION, CHAIN, action, goal)
        np.testing.assert_array_equal(waypoint.joints, goal.joints)
        assert waypoint.gripper == goal.gripper == float(number > 1)
        assert waypoint.time_ns == ORIGIN_NS + round(number * 1e9 / 30)


def test_the_tool_gets_where_the_deltas_add_up_to() -> None:
    """By forward kinematics of the last waypoint: 20 mm a unit, less what is said to be left."""
    found = route(POSE_ACTION, CHAIN, ACTIONS, BENT, 0.5, ORIGIN_NS, PERIOD_S)
    asked = forward(CHAIN, BENT).position + 0.02 * sum(action[:3] for action in ACTIONS)
    reached = forward(CHAIN, found.waypoints[-1].joints).position
    assert np.linalg.norm(reached - asked) <= found.position_error_m + 1e-9
    assert found.position_error_m < 1e-3


def test_the_worst_of_all_is_told() -> None:
    """A way out of reach: the error grows, and the last one is the largest."""
    far = [np.array([9.0, 0, 0, 0, 0, 0, 1.0])] * 4
    errors = [
        route(POSE_ACTION, CHAIN, far[:n], BENT, 0.5, ORIGIN_NS, PERIOD_S).position_error_m
        for n in (1, 2, 3, 4)
    ]
    assert errors == sorted(errors) and errors[-1] > 0.2


def test_joints_are_absolute() -> None:
    """The anchor does not matter."""
    action = np.array([0.1, -0.2, 0.3, 0.4, 0.5, 9.0, -1.0])
    for anchor in (BENT, np.zeros(5)):
        found = route(JOINT_ACTION, CHAIN, [action], anchor, 0.5, ORIGIN_NS, PERIOD_S)
        np.testing.assert_allclose(found.waypoints[0].joints, [0.15, 0, 0.25, 0.3, 0.35])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_action_that_is_not_finite_gives_no_waypoint(bad: float) -> None:
    """Nor do the good ones before it."""
    wrong = ACTIONS[2].copy()
    wrong[4] = bad
    with pytest.raises(ActionError):
        route(POSE_ACTION, CHAIN, [*ACTIONS[:2], wrong], BENT, 0.5, ORIGIN_NS, PERIOD_S)
