"""Rotations: closed forms, group axioms, and the edges where formulas divide by zero."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.runtime.rotation import (
    Array,
    axis_angle_from_matrix,
    euler_from_matrix,
    matrix_from_axis_angle,
    matrix_from_euler,
    skew,
)

angles = st.floats(-math.pi, math.pi)
# Quarter turns and angles next to them come up by themselves hardly ever.
eulers = st.tuples(
    *[st.one_of(angles, st.sampled_from([0, math.pi / 2, -math.pi / 2, math.pi]))] * 3
)
vectors = st.tuples(*[st.floats(-4, 4)] * 3).map(np.array)


def about(axis: int, angle: float) -> Array:
    """Elementary rotation, from the definition."""
    matrix = np.eye(3)
    i, j = [k for k in range(3) if k != axis]
    if axis == 1:
        i, j = j, i
    matrix[[i, i, j, j], [i, j, i, j]] = [
        math.cos(angle),
        -math.sin(angle),
        math.sin(angle),
        math.cos(angle),
    ]
    return matrix


@given(eulers)
def test_euler_angles_are_turns_about_fixed_axes(euler: tuple[float, float, float]) -> None:
    """First x, then y, then z, each about an axis that stays where it is."""
    roll, pitch, yaw = euler
    expected = about(2, yaw) @ about(1, pitch) @ about(0, roll)
    np.testing.assert_allclose(matrix_from_euler(euler), expected, atol=1e-15)


@given(eulers)
def test_euler_angles_come_back_as_the_same_rotation(euler: tuple[float, float, float]) -> None:
    """Gimbal lock included, where the angles themselves are not unique."""
    matrix = matrix_from_euler(euler)
    back = euler_from_matrix(matrix)
    assert abs(back[1]) <= math.pi / 2
    np.testing.assert_allclose(matrix_from_euler(back), matrix, atol=2e-8)


@given(st.sampled_from([math.pi / 2, -math.pi / 2]), angles, angles, vectors)
def test_gimbal_lock_is_found_in_spite_of_rounding(
    pitch: float, roll: float, yaw: float, detour: Array
) -> None:
    """A product of matrices is never exactly at the singularity."""
    there = matrix_from_axis_angle(detour)
    matrix = there @ (there.T @ matrix_from_euler([roll, pitch, yaw]))
    back = matrix_from_euler(euler_from_matrix(matrix))
    np.testing.assert_allclose(back, matrix, atol=1e-7)


@given(st.tuples(angles, st.floats(-1.5, 1.5), angles))
def test_euler_angles_come_back_themselves(euler: tuple[float, float, float]) -> None:
    """Away from gimbal lock, up to a whole turn."""
    difference = euler_from_matrix(matrix_from_euler(euler)) - euler
    np.testing.assert_allclose(np.cos(difference), 1, atol=1e-12)


@given(vectors)
def test_a_turn_keeps_its_axis_and_turns_by_its_angle(vector: Array) -> None:
    """R a = a; trace = 1 + 2 cos |a|; proper and orthogonal."""
    matrix = matrix_from_axis_angle(vector)
    np.testing.assert_allclose(matrix @ vector, vector, atol=1e-12)
    assert np.trace(matrix) == pytest.approx(1 + 2 * math.cos(np.linalg.norm(vector)), abs=1e-12)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1)


@given(st.integers(0, 2), angles)
def test_a_turn_about_a_coordinate_axis(axis: int, angle: float) -> None:
    """The sense of rotation."""
    np.testing.assert_allclose(
        matrix_from_axis_angle(angle * np.eye(3)[axis]), about(axis, angle), atol=1e-15
    )


@given(
    st.tuples(*[st.floats(-1, 1)] * 3).filter(lambda a: np.linalg.norm(a) > 1e-3),
    st.one_of(
        st.floats(0, math.pi),
        st.floats(0, 1e-6),
        st.floats(math.pi - 1e-6, math.pi),
        st.sampled_from([0.0, math.pi]),
    ),
)
def test_the_logarithm_undoes_the_exponential(axis: tuple[float, ...], angle: float) -> None:
    """Near no turn and near half a turn too, where sin(angle) tells nothing."""
    vector = np.array(axis) / np.linalg.norm(axis) * angle
    matrix = matrix_from_axis_angle(vector)
    back = axis_angle_from_matrix(matrix)
    assert np.linalg.norm(back) == pytest.approx(angle, abs=1e-9)
    np.testing.assert_allclose(matrix_from_axis_angle(back), matrix, atol=1e-9)
    if angle < math.pi - 1e-6:
        np.testing.assert_allclose(back, vector, atol=1e-9)


@given(vectors, vectors)
def test_skew_is_the_cross_product(a: Array, b: Array) -> None:
    """For one vector and for several."""
    np.testing.assert_allclose(skew(a) @ b, np.cross(a, b), atol=1e-12)
    np.testing.assert_array_equal(skew([a, b]), [skew(a), skew(b)])
