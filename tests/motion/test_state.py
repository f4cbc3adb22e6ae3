"""From an arm's reading to the network's state."""

from __future__ import annotations

import numpy as np
import pytest

from dreamvla_edge.runtime.arms.arm import ArmReading
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.arms.kinematics import chain_of, forward
from dreamvla_edge.runtime.errors import ArmError
from dreamvla_edge.runtime.motion import require_fit, state_vector
from dreamvla_edge.runtime.observation import normalised
from dreamvla_edge.runtime.rotation import matrix_from_euler
from dreamvla_edge.runtime.specification import StateSpecification
from motion.specifications import JOINTS, POSE, dimensions, joint_specification, pose_specification

SO101 = load_description("so101")
CHAIN = chain_of(SO101)
READING = ArmReading(
    velocity=np.zeros(5),
    servos=(),
    joints=np.array([0.3, -0.4, 0.5, 1.2, 0.2]),
    gripper=0.25,
    stamp_s=0.0,
)


def state(specification: StateSpecification, command: float = 1.0) -> list[float]:
    """As the network gets it."""
    vector = state_vector(specification, SO101, CHAIN, READING, command)
    assert vector.dtype == np.float32
    assert vector.shape == (specification.size,)
    return [float(number) for number in vector]


@pytest.mark.parametrize("command", [1.0, -1.0])
def test_the_tool_pose_and_the_last_command(command: float) -> None:
    """CALVIN: position, fixed-axis angles, -1 or +1."""
    *arm, gripper = state(StateSpecification(dimensions=POSE, gripper="command"), command)
    pose = forward(CHAIN, READING.joints)
    np.testing.assert_allclose(arm[:3], pose.position, atol=1e-6)
    np.testing.assert_allclose(matrix_from_euler(arm[3:]), pose.rotation, atol=1e-6)
    assert gripper == command


def test_the_joints_and_two_fingers() -> None:
    """By name, in the order asked for; unused is 0; fingers at ± a quarter of 40 mm."""
    names = (*reversed(JOINTS), "unused")
    got = state(StateSpecification(dimensions=dimensions(*names), gripper="fingers"))
    np.testing.assert_allclose(got, [0.2, 1.2, 0.5, -0.4, 0.3, 0.0, 0.01, -0.01], atol=1e-7)


def test_the_network_gets_its_own_numbers() -> None:
    """Value = scale · number + offset, solved for the number; unused stays 0."""
    scaled = dimensions(*JOINTS, "unused", scale=-0.5, offset=0.1)
    specification = StateSpecification(dimensions=scaled, gripper="command")
    raw = state(specification)
    np.testing.assert_allclose(raw[:5], READING.joints, atol=1e-6)
    got = normalised(raw, specification)
    np.testing.assert_allclose(got[:5], (READING.joints - 0.1) / -0.5, atol=1e-6)
    assert got[5] == 0.0
    assert got[6] == raw[6]


def test_a_checkpoint_of_another_arm_is_refused_before_anything_moves() -> None:
    """By the names of its joints, in the state or in the action."""
    require_fit(pose_specification(), CHAIN)
    require_fit(joint_specification(), CHAIN)
    elbow = dimensions("shoulder_pan", "elbow", *["unused"] * 4)
    with pytest.raises(ArmError, match="uses elbow\n"):
        require_fit(joint_specification(dimensions=elbow), CHAIN)
    wrong = pose_specification()
    wrong = type(wrong)(
        wrong.name,
        wrong.action,
        StateSpecification(dimensions=elbow, gripper="command"),
        wrong.cameras,
    )
    with pytest.raises(ArmError, match="uses elbow\n"):
        require_fit(wrong, CHAIN)
