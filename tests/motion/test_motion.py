"""From actions to joint goals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dreamvla_edge.runtime.arms import kinematics
from dreamvla_edge.runtime.arms.arm import ArmReading
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.arms.kinematics import chain_of, forward
from dreamvla_edge.runtime.errors import ActionError
from dreamvla_edge.runtime.motion import Goal, advance, gripper_command, gripper_opening, measured
from dreamvla_edge.runtime.rotation import (
    euler_from_matrix,
    matrix_from_axis_angle,
    matrix_from_euler,
)
from dreamvla_edge.runtime.specification import ActionSpecification, GripperCommand
from motion.specifications import JOINT_ACTION, JOINTS, POSE_ACTION, dimensions

CHAIN = chain_of(load_description("so101"))
# The gripper points down and a little to the side, well inside all limits.
BENT = np.array([0.3, -0.4, 0.5, 1.2, 0.2])
ANCHOR = measured(
    CHAIN, ArmReading(velocity=np.zeros(5), servos=(), joints=BENT, gripper=1.0, stamp_s=0.0)
)
ACTION = np.array([1.0, -0.5, 0.25, 0.4, -0.2, 0.6, 1.0], np.float32)
MOVE, TURN = 0.02 * ACTION[:3], 0.05 * ACTION[3:6]


def test_the_measured_anchor_is_where_the_arm_is() -> None:
    """Pose, joints and gripper; a joint that sags beyond its limit is brought back as a goal."""
    assert np.array_equal(ANCHOR.joints, BENT)
    assert np.array_equal(ANCHOR.pose.position, forward(CHAIN, BENT).position)
    sagged = measured(
        CHAIN,
        ArmReading(
            velocity=np.zeros(5), servos=(), joints=CHAIN.upper + 0.01, gripper=0.0, stamp_s=0.0
        ),
    )
    assert np.array_equal(sagged.joints, CHAIN.upper)


@pytest.mark.parametrize("frame", ["world", "tool"])
@pytest.mark.parametrize("rotation", ["euler_add", "axis_angle_left"])
def test_a_pose_delta(frame: str, rotation: str) -> None:
    """Four ways to mean the same six numbers, each written out."""
    pose = ANCHOR.pose
    euler = euler_from_matrix(pose.rotation)
    position, matrix = {
        ("world", "euler_add"): (pose.position + MOVE, matrix_from_euler(euler + TURN)),
        ("world", "axis_angle_left"): (
            pose.position + MOVE,
            matrix_from_axis_angle(TURN) @ pose.rotation,
        ),
        ("tool", "euler_add"): (
            pose.position + pose.rotation @ MOVE,
            pose.rotation @ matrix_from_euler(TURN),
        ),
        # The same turn, its axis taken to the world and applied from the left.
        ("tool", "axis_angle_left"): (
            pose.position + pose.rotation @ MOVE,
            matrix_from_axis_angle(pose.rotation @ TURN) @ pose.rotation,
        ),
    }[frame, rotation]
    specification = replace(POSE_ACTION, frame=frame, rotation=rotation)
    goal = advance(specification, CHAIN, ACTION, ANCHOR)
    np.testing.assert_allclose(goal.pose.position, position, atol=1e-9)
    np.testing.assert_allclose(goal.pose.rotation, matrix, atol=1e-9)
    reached = forward(CHAIN, goal.joints)
    np.testing.assert_allclose(reached.position, position, atol=1e-5)
    assert goal.position_error_m < 1e-5
    assert 0 < goal.orientation_error_rad < 0.1  # five joints
    assert np.abs(goal.joints - BENT).max() < 0.5


def test_targets_add_up_and_measurements_do_not() -> None:
    """Ten deltas on the target are one delta of ten; on one measurement they stay one."""
    specification = replace(POSE_ACTION, rotation="axis_angle_left")
    action = np.array([0.2, 0, 0.1, 0, 0, 0.5, 1], np.float32)
    target = ANCHOR
    for _ in range(10):
        target = advance(specification, CHAIN, action, target)
    big = advance(specification, CHAIN, action * [10, 10, 10, 10, 10, 10, 1], ANCHOR)
    np.testing.assert_allclose(target.pose.position, big.pose.position, atol=1e-9)
    np.testing.assert_allclose(target.pose.rotation, big.pose.rotation, atol=1e-6)
    np.testing.assert_allclose(forward(CHAIN, target.joints).position, big.pose.position, atol=1e-5)


def test_what_is_asked_for_is_kept_beside_what_is_possible() -> None:
    """Beyond reach the target goes on and the error says how far it is away."""
    goal = ANCHOR
    action = np.array([1, 0, 0, 0, 0, 0, 1], np.float32)
    for step in range(30):
        goal = advance(POSE_ACTION, CHAIN, action, goal)
        assert goal.pose.position[0] == pytest.approx(ANCHOR.pose.position[0] + 0.02 * (step + 1))
    left = np.linalg.norm(goal.pose.position - forward(CHAIN, goal.joints).position)
    assert goal.position_error_m == pytest.approx(left)
    assert goal.position_error_m > 0.2


def test_unused_pose_dimensions_do_nothing() -> None:
    """Whatever the network says there."""
    specification = replace(
        POSE_ACTION, dimensions=(*POSE_ACTION.dimensions[:3], *dimensions(*["unused"] * 3))
    )
    goal = advance(specification, CHAIN, ACTION, ANCHOR)
    np.testing.assert_allclose(goal.pose.rotation, ANCHOR.pose.rotation, atol=1e-12)


def test_joint_positions_are_absolute() -> None:
    """Angle = scale · x + offset, by name and not by place; joints that are not named stay."""
    goal = advance(JOINT_ACTION, CHAIN, ACTION, ANCHOR)
    np.testing.assert_allclose(goal.joints, 0.5 * ACTION[:5] + 0.1, atol=1e-6)
    np.testing.assert_allclose(goal.pose.position, forward(CHAIN, goal.joints).position)
    names = ("wrist_roll", "unused", "shoulder_pan", "unused", "unused", "unused")
    swapped = replace(JOINT_ACTION, dimensions=dimensions(*names))
    goal = advance(swapped, CHAIN, ACTION, ANCHOR)
    np.testing.assert_allclose(goal.joints, [0.25, *BENT[1:4], 1.0])


def test_joint_deltas_are_relative() -> None:
    """To the anchor's joints."""
    specification = replace(JOINT_ACTION, kind="delta_joints")
    goal = advance(specification, CHAIN, ACTION, ANCHOR)
    np.testing.assert_allclose(goal.joints, BENT + 0.5 * ACTION[:5] + 0.1, atol=1e-6)
    assert np.array_equal(ANCHOR.joints, BENT)  # the anchor itself is not changed


def test_joint_goals_stop_at_the_limits() -> None:
    """Both ends, in both joint kinds."""
    for kind in ("joints", "delta_joints"):
        specification = replace(JOINT_ACTION, kind=kind)
        for sign, limit in ((100, CHAIN.upper), (-100, CHAIN.lower)):
            action = np.array([sign] * 6 + [1])
            assert np.array_equal(advance(specification, CHAIN, action, ANCHOR).joints, limit)


@pytest.mark.parametrize("executed", [1.0, -1.0])
@pytest.mark.parametrize(("upper_means", "open_"), [("open", 1.0), ("closed", -1.0)])
def test_the_gripper_has_a_polarity(executed: float, upper_means: str, open_: float) -> None:
    """CALVIN opens with +1, LIBERO with -1; and back."""
    command = GripperCommand(upper_means=upper_means)  # type: ignore[arg-type]
    opening = gripper_opening(command, executed)
    assert opening == (1.0 if executed == open_ else 0.0)
    assert gripper_command(command, opening) == executed
    specification = replace(POSE_ACTION, gripper=command)
    action = np.array([0, 0, 0, 0, 0, 0, executed])
    assert advance(specification, CHAIN, action, ANCHOR).gripper == opening


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", range(7))
@pytest.mark.parametrize("specification", [POSE_ACTION, JOINT_ACTION], ids=["pose", "joints"])
def test_numbers_that_are_not_finite_are_refused(
    specification: ActionSpecification, place: int, value: float
) -> None:
    """In every place, an unused one and the gripper included."""
    action = ACTION.copy()
    action[place] = value
    with pytest.raises(ActionError, match="nothing was sent"):
        advance(specification, CHAIN, action, ANCHOR)


@pytest.mark.parametrize("shape", [(6,), (8,), (1, 7)])
def test_an_action_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    """Seven numbers, no more, no fewer."""
    with pytest.raises(ActionError, match="shape"):
        advance(POSE_ACTION, CHAIN, np.zeros(shape), ANCHOR)


@pytest.mark.parametrize("specification", [POSE_ACTION, JOINT_ACTION], ids=["pose", "joints"])
def test_an_anchor_that_is_not_finite_is_refused(specification: ActionSpecification) -> None:
    """A broken measurement must not become a goal."""
    anchor = Goal(ANCHOR.pose, BENT * math.nan, 1.0)
    few = replace(specification, dimensions=(*specification.dimensions[:1], *_UNUSED))
    with pytest.raises(ActionError, match="nothing was sent"):
        advance(few, CHAIN, ACTION, anchor)


_UNUSED = dimensions(*["unused"] * 5)


@settings(max_examples=60)
@given(
    st.lists(st.floats(-1e6, 1e6), min_size=6, max_size=6),
    st.sampled_from(["delta_pose", "delta_joints", "joints"]),
)
def test_every_finite_action_gives_a_goal_the_arm_may_take(numbers: list[float], kind: str) -> None:
    """Finite and within the limits, however wild the network is."""
    specification = POSE_ACTION if kind == "delta_pose" else replace(JOINT_ACTION, kind=kind)
    goal = advance(specification, CHAIN, np.array([*numbers, 1.0]), ANCHOR)
    assert np.all((goal.joints >= CHAIN.lower) & (goal.joints <= CHAIN.upper))
    assert len(goal.joints) == len(JOINTS)
    assert math.isfinite(goal.position_error_m)


def test_a_clipped_action_is_cut_before_it_is_scaled() -> None:
    """An output of 30 with clip 1 is the same motion as one of 1, in both directions."""
    free = replace(POSE_ACTION, clip=None)
    clipped = replace(free, clip=1.0)
    large, unit = (np.array([value, -value, 0, 0, 0, 0, 1.0]) for value in (30.0, 1.0))
    expected = advance(free, CHAIN, unit, ANCHOR)
    np.testing.assert_array_equal(advance(clipped, CHAIN, large, ANCHOR).joints, expected.joints)
    assert not np.allclose(advance(free, CHAIN, large, ANCHOR).joints, expected.joints)


def test_what_is_far_out_of_reach_takes_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The arm waits for its goal: whatever is asked, 12 iterations of both descents must do."""
    tried = 0
    error = kinematics._error

    def counted(*about: Any) -> Any:
        nonlocal tried
        tried += 1
        return error(*about)

    monkeypatch.setattr(kinematics, "_error", counted)
    random, most = np.random.default_rng(0), 0
    for _ in range(100):
        tried = 0
        wild = np.array([*(30 * random.standard_normal(6)), 1.0], np.float32)
        goal = advance(POSE_ACTION, CHAIN, wild, ANCHOR)
        assert goal.position_error_m < np.linalg.norm(goal.pose.position - ANCHOR.pose.position)
        most = max(most, tried)
    assert 20 < most <= 2 * (12 + 1) + 1
