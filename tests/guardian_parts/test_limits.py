"""What the arm may be sent, whatever is asked for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.arms.kinematics import Pose, chain_of, forward, inverse
from dreamvla_edge.runtime.guardian.limits import (
    Limits,
    Motion,
    Target,
    allow,
    brake,
    limits_of,
    stop_speed,
)
from dreamvla_edge.runtime.guardian.message import Limit
from dreamvla_edge.runtime.rotation import matrix_from_euler

T = 0.01
SO101 = load_description("so101")
LIMITS = limits_of(SO101)
FREE = replace(LIMITS, box=None)
CHAIN = chain_of(SO101)
N = len(CHAIN.names)
INSIDE = np.array([0.3, -0.4, 0.5, 1.2, 0.2])
NOTHING = np.zeros(N)
# A still target that is nearer than an eighth of the smallest step is reached; 0.006 degrees.
NEAR = LIMITS.acceleration * T**2 / 8 + 1e-9

ends = st.floats(-4, 4) | st.sampled_from([np.nan, np.inf, -np.inf, 1e300])
targets = st.builds(
    lambda joints, velocity, gripper: Target(np.array(joints), np.array(velocity), gripper),
    st.lists(ends, min_size=N, max_size=N),
    st.lists(st.floats(-5, 5), min_size=N, max_size=N),
    st.floats(-1, 2) | st.just(np.nan),
)
good_targets = st.builds(
    lambda joints: Target(np.array(joints), NOTHING, 0.5),
    st.lists(st.floats(-3, 3), min_size=N, max_size=N),
)
starts = st.lists(st.floats(0.02, 0.98), min_size=N, max_size=N).map(
    lambda share: CHAIN.lower + np.array(share) * (CHAIN.upper - CHAIN.lower)
)


def low_place(radius_m: float, azimuth: float, height_m: float) -> np.ndarray:
    """Joints of an arm whose tool points down, so low."""
    turn = matrix_from_euler(np.array([np.pi, 0.0, azimuth]))
    place = np.array([radius_m * np.cos(azimuth), radius_m * np.sin(azimuth), height_m])
    found = inverse(CHAIN, Pose(place, turn), np.array([0.0, -0.25, 0.5, 1.0, 0.0]))
    assert found.position_error_m < 1e-4
    return found.joints


low_places = st.builds(
    low_place, st.floats(0.2, 0.3), st.floats(-0.7, 0.7), st.floats(0.0125, 0.02)
)


def motions(
    limits: Limits,
    wanted: list[Target],
    start: np.ndarray,
    speed: float = 1.0,
    follows: float = 1.0,
    each: int = 20,
) -> list[Motion]:
    """Goals for every target in turn, each asked for `each` times.

    follows: share of the way to the goal that the arm goes in one period.
    """
    motion, measured = Motion(start, NOTHING, 0.5), start
    found = [motion]
    for target in wanted:
        for _ in range(each):
            motion = allow(limits, target, motion, measured, T, speed).motion
            measured = measured + follows * (motion.position - measured)
            found.append(motion)
    return found


@settings(max_examples=60)
@given(
    st.lists(targets, min_size=1, max_size=6),
    starts,
    st.floats(0.05, 1),
    st.sampled_from([1.0, 0.3, 0.0]),
)
def test_no_sequence_of_targets_breaks_a_limit(
    wanted: list[Target], start: np.ndarray, speed: float, follows: float
) -> None:
    """Position, velocity, acceleration, braking and, of an arm that stands still, wind-up."""
    found = motions(FREE, wanted, start, speed, follows)
    position = np.array([motion.position for motion in found])
    velocity = np.array([motion.velocity for motion in found])
    assert np.isfinite(position).all() and np.isfinite(velocity).all()
    np.testing.assert_allclose(np.diff(position, axis=0), velocity[1:] * T, atol=1e-12)
    assert (position >= FREE.lower - 1e-9).all() and (position <= FREE.upper + 1e-9).all()
    assert (np.abs(velocity) <= speed * FREE.velocity + 1e-9).all()
    change = np.diff(velocity, axis=0)
    assert (np.abs(change) <= FREE.stop_acceleration * T + 1e-9).all()
    faster = np.diff(np.abs(velocity), axis=0)
    assert (faster <= FREE.acceleration * T + 1e-9).all()
    if follows == 0:
        assert (np.abs(position - start) <= FREE.windup + 1e-9).all()
    gripper = np.array([motion.gripper for motion in found])
    assert (gripper >= 0).all() and (gripper <= 1).all()
    assert (np.abs(np.diff(gripper)) <= 3.0 * T + 1e-9).all()


@settings(max_examples=40)
@given(st.lists(good_targets, min_size=1, max_size=5), starts)
def test_the_tool_stays_in_its_box(wanted: list[Target], start: np.ndarray) -> None:
    """By other kinematics than the limit's own; outside, it comes no further out.

    Between two places where every joint could stop the way is curved: a millimetre is allowed.
    """
    assert LIMITS.box is not None
    low, high = LIMITS.box
    out = []
    for motion in motions(LIMITS, wanted, start, each=60):
        tool = forward(CHAIN, motion.position).position
        out.append(float(np.linalg.norm(tool - np.clip(tool, low, high))))
    assert max(out) <= out[0] + 1e-3


@settings(max_examples=40)
@given(st.tuples(low_places, low_places))
def test_a_wall_on_the_way_is_no_end(ways: tuple[np.ndarray, np.ndarray]) -> None:
    """Between two places just above the table the joints' straight way dips below it."""
    start, end = ways
    last = motions(LIMITS, [Target(end, NOTHING, 0.5)], start, each=400)[-1]
    left = forward(CHAIN, last.position).position - forward(CHAIN, end).position
    assert np.linalg.norm(left) < 2e-3


@settings(max_examples=40)
@given(
    st.lists(st.floats(-0.4, 0.4), min_size=N, max_size=N),
    good_targets,
)
def test_a_start_outside_is_eased_back(beyond: list[float], target: Target) -> None:
    """Joints beyond a limit come back without a step further out, and get there."""
    over = np.array(beyond)
    start = np.where(over > 0, FREE.upper + over, FREE.lower + over)
    found = motions(FREE, [target], start, each=400)
    out = np.array(
        [np.maximum(m.position - FREE.upper, FREE.lower - m.position).clip(0) for m in found]
    )
    assert (np.diff(out, axis=0) <= 1e-12).all()
    assert (out[-1] <= NEAR).all()
    assert (np.abs([m.velocity for m in found]) <= FREE.velocity + 1e-9).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["joints", "velocity", "gripper"])
def test_a_target_that_is_not_finite_brakes(bad: float, where: str) -> None:
    """To a stand, in the fewest steps, and says why; the gripper keeps its goal."""
    last = Motion(INSIDE, np.full(N, 0.9), 0.4)
    parts = {"joints": INSIDE.copy(), "velocity": NOTHING.copy(), "gripper": 0.9}
    if where == "gripper":
        parts["gripper"] = bad
    else:
        parts[where][2] = bad  # type: ignore[index]
    allowed = allow(LIMITS, Target(**parts), last, INSIDE, T, 1.0)  # type: ignore[arg-type]
    np.testing.assert_allclose(allowed.motion.velocity, 0.9 - LIMITS.stop_acceleration * T)
    assert allowed.motion.gripper == 0.4
    assert [acted.limit for acted in allowed.acted] == [Limit.FINITE]


@given(st.integers(1, 60), st.floats(0.5, 100), st.floats(0.001, 0.1))
def test_the_way_of_a_stop(steps: int, acceleration: float, period_s: float) -> None:
    """From k steps of a·T: k(k-1)/2 a·T² more, in k steps; and `stop_speed` is its inverse."""
    limits = replace(FREE, stop_acceleration=np.full(N, acceleration))
    motion = Motion(NOTHING, np.full(N, steps * acceleration * period_s), 0.5)
    for _ in range(steps):
        assert (motion.velocity > 0).all()
        motion = brake(limits, motion, period_s)
    step = acceleration * period_s**2
    np.testing.assert_allclose(motion.velocity, 0, atol=1e-9 * acceleration)
    np.testing.assert_allclose(motion.position, steps * (steps - 1) / 2 * step, atol=1e-9)
    room = np.array([steps * (steps + 1) / 2 * step + step / 8])
    speed = stop_speed(room, np.array([acceleration]), period_s)
    np.testing.assert_allclose(speed, steps * acceleration * period_s, rtol=1e-9)


@settings(max_examples=60)
@given(st.floats(0.001, 60), st.floats(0.5, 100))
def test_whoever_has_the_stop_speed_stops_in_time(room: float, acceleration: float) -> None:
    """Step by step, with the speed that falls by a·T in each, the first step included."""
    speed = float(stop_speed(np.array([room]), np.array([acceleration]), T)[0])
    way = 0.0
    while speed > 0:
        way += speed * T
        speed = max(speed - acceleration * T, 0.0)
    assert way <= room * (1 + 1e-9)


@settings(max_examples=60)
@given(starts, starts)
def test_a_still_target_is_reached_without_overshoot(start: np.ndarray, end: np.ndarray) -> None:
    """Each joint comes nearer in every step, and arrives."""
    found = motions(FREE, [Target(end, NOTHING, 1.0)], start, each=800)
    away = np.array([(motion.position - end) * np.sign(start - end) for motion in found])
    assert (np.diff(away, axis=0) <= 1e-9).all()
    assert (away >= -1e-6).all()
    assert (away[-1] <= NEAR).all()


def test_a_moving_target_is_followed_without_lag() -> None:
    """The goal of a cycle is where the target is one period later."""
    rate, motion = 0.5, Motion(NOTHING, NOTHING, 0.5)
    for cycle in range(200):
        at = np.full(N, rate * cycle * T)
        target = Target(at, np.full(N, rate), 0.5)
        motion = allow(FREE, target, motion, motion.position, T, 1.0).motion
    np.testing.assert_allclose(motion.position, at + rate * T, atol=NEAR[0])
    np.testing.assert_allclose(motion.velocity, rate, atol=1e-2)


@pytest.mark.parametrize(
    ("target", "measured", "limit", "joint"),
    [
        (CHAIN.upper + [0, 0, 0.5, 0, 0], CHAIN.upper - 0.01, Limit.POSITION, 2),
        (INSIDE + [0, 0, 0, 0, 1.0], INSIDE, Limit.VELOCITY, 4),
        (INSIDE, INSIDE - [0, 0.36, 0, 0, 0], Limit.WINDUP, 1),
    ],
)
def test_a_limit_says_where_it_acted(
    target: np.ndarray, measured: np.ndarray, limit: Limit, joint: int
) -> None:
    """The joint that it changed most."""
    velocity = np.where(measured < INSIDE - 0.1, 0.5, 0.0) if limit is Limit.WINDUP else NOTHING
    start = INSIDE if limit is Limit.WINDUP else measured
    last = Motion(start, velocity, 0.5)
    acted = allow(FREE, Target(np.asarray(target), velocity, 0.5), last, measured, T, 1.0).acted
    assert (limit, joint) in acted
