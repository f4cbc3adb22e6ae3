"""Kinematics of the SO-101: against the definition of a derivative, and against itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.arms.kinematics import (
    Chain,
    Pose,
    chain_of,
    forward,
    inverse,
    jacobian,
    tool_position,
)
from dreamvla_edge.runtime.rotation import Array, axis_angle_from_matrix, matrix_from_axis_angle

SO101 = chain_of(load_description("so101"))


@pytest.fixture
def random() -> np.random.Generator:
    """The same numbers in every run."""
    return np.random.default_rng(20241122)


def anywhere(random: np.random.Generator, chain: Chain = SO101) -> Array:
    """Joint angles within the limits."""
    return random.uniform(chain.lower, chain.upper)


def test_the_stretched_arm_is_where_the_model_says() -> None:
    """All joints in the middle: 0.391 m in front, 0.226 m up, pointing forward."""
    pose = forward(SO101, np.zeros(5))
    np.testing.assert_allclose(pose.position, [0.39136, 0.0, 0.22647], atol=2e-5)
    np.testing.assert_allclose(pose.rotation[:, 2], [1, 0, 0], atol=1e-9)


@pytest.mark.parametrize("arm", ["so101", "koch"])
def test_the_position_alone_is_that_of_the_pose(arm: str, random: np.random.Generator) -> None:
    """The guardian's limits of the workspace go by it."""
    chain = chain_of(load_description(arm))
    position = tool_position(chain)
    for joints in (anywhere(random, chain) for _ in range(20)):
        np.testing.assert_allclose(position(joints), forward(chain, joints).position, atol=1e-12)


def test_the_jacobian_is_the_derivative_of_the_pose(random: np.random.Generator) -> None:
    """Central differences of position and rotation, 1e-6 rad apart."""
    for _ in range(20):
        joints, slope = anywhere(random), np.empty((6, 5))
        for i, small in enumerate(1e-6 * np.eye(5)):
            ahead, behind = forward(SO101, joints + small), forward(SO101, joints - small)
            slope[:3, i] = (ahead.position - behind.position) / 2e-6
            slope[3:, i] = axis_angle_from_matrix(ahead.rotation @ behind.rotation.T) / 2e-6
        np.testing.assert_allclose(jacobian(SO101, joints), slope, atol=1e-8)


def test_reachable_targets_are_reached(random: np.random.Generator) -> None:
    """Within 1 mm, as reported and in fact, from up to 0.5 rad away in every joint."""
    for _ in range(200):
        joints = anywhere(random)
        target = forward(SO101, joints)
        start = joints + random.uniform(-0.5, 0.5, 5)
        found = inverse(SO101, target, start)
        reached = forward(SO101, found.joints)
        error = float(np.linalg.norm(reached.position - target.position))
        assert error < 1e-3
        assert found.position_error_m == pytest.approx(error, abs=1e-12)
        turn = axis_angle_from_matrix(target.rotation @ reached.rotation.T)
        assert found.orientation_error_rad == pytest.approx(np.linalg.norm(turn), abs=1e-9)
        assert np.all((found.joints >= SO101.lower) & (found.joints <= SO101.upper))


def test_targets_at_the_limits_of_two_joints_are_reached(random: np.random.Generator) -> None:
    """A joint at its stop must not keep the others from going on."""
    for _ in range(150):
        joints, ends = anywhere(random), random.choice(5, 2, replace=False)
        joints[ends] = np.where(random.random(2) < 0.5, SO101.lower[ends], SO101.upper[ends])
        target = forward(SO101, joints)
        found = inverse(SO101, target, joints + random.uniform(-0.5, 0.5, 5))
        assert found.position_error_m < 1e-3


def test_position_comes_before_orientation(random: np.random.Generator) -> None:
    """A gripper tilted sideways, which five joints cannot do, costs no position on a small walk."""
    tilted = matrix_from_axis_angle([0.4, 0.0, 0.0]) @ np.diag([1.0, -1.0, -1.0])
    position, turns = np.array([0.25, 0.0, 0.12]), []
    joints = inverse(SO101, Pose(position, tilted), np.zeros(5)).joints
    for _ in range(200):
        position = np.clip(
            position + random.uniform(-0.005, 0.005, 3), [0.18, -0.15, 0.05], [0.3, 0.15, 0.2]
        )
        found = inverse(SO101, Pose(position, tilted), joints)
        assert found.position_error_m < 1e-5
        joints = found.joints
        turns.append(found.orientation_error_rad)
    assert 0.1 < np.median(turns) < 0.5  # not reached, but followed: the start pointed forward


def test_a_target_out_of_reach_is_reported(random: np.random.Generator) -> None:
    """The error is the distance that is left, the arm stretches towards it."""
    for direction in ([1.0, 0.0, 0.2], [0.7, 0.7, 0.3], [0.6, -0.8, 0.1]):
        target = Pose(np.array(direction), np.eye(3))
        found = inverse(SO101, target, np.zeros(5))
        reached = forward(SO101, found.joints).position
        assert found.position_error_m == pytest.approx(
            float(np.linalg.norm(target.position - reached)), abs=1e-12
        )
        assert found.position_error_m > 0.4
        # No joint motion within the limits brings it nearer.
        for step in random.uniform(-0.05, 0.05, (200, 5)):
            near = np.clip(found.joints + step, SO101.lower, SO101.upper)
            there = forward(SO101, near).position
            assert np.linalg.norm(target.position - there) > found.position_error_m - 1e-7


@settings(max_examples=50)
@given(st.lists(st.floats(-10, 10), min_size=5, max_size=5), st.lists(st.floats(-1, 1), min_size=6))
def test_any_finite_target_gives_joints_within_the_limits(
    start: list[float], numbers: list[float]
) -> None:
    """Also from a start outside of them."""
    target = Pose(np.array(numbers[:3]), matrix_from_axis_angle(4 * np.array(numbers[3:6])))
    found = inverse(SO101, target, np.array(start))
    assert np.all((found.joints >= SO101.lower) & (found.joints <= SO101.upper))
    assert math.isfinite(found.position_error_m) and math.isfinite(found.orientation_error_rad)


def test_no_motion_is_made_for_a_target_that_is_met(random: np.random.Generator) -> None:
    """The arm does not creep while it holds a pose."""
    for _ in range(20):
        joints = anywhere(random)
        found = inverse(SO101, forward(SO101, joints), joints)
        np.testing.assert_allclose(found.joints, joints, atol=1e-6)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_are_not_finite_are_refused(value: float) -> None:
    """In the position, in the rotation, in the start."""
    pose = forward(SO101, np.zeros(5))
    for target, start in (
        (Pose(np.array([0.2, value, 0.2]), pose.rotation), np.zeros(5)),
        (Pose(pose.position, pose.rotation * value), np.zeros(5)),
        (pose, np.array([0, 0, 0, 0, value])),
    ):
        with pytest.raises(ValueError, match="finite"):
            inverse(SO101, target, start)
