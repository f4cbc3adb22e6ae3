"""The scene as physics and as something that servos turn."""

from __future__ import annotations

import math

import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.arms.kinematics import Pose, chain_of, forward, inverse
from dreamvla_edge.runtime.arms.steps import radians_from_steps
from dreamvla_edge.sim.motor import Drive
from dreamvla_edge.sim.scene.layout import BLOCK_M, COLOURS, PRESENT, draw
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.tasks.reach import azimuth, downwards

FASTEST, AT_ONCE = 3140.0, math.inf  # [step/s], [step/s²]
HOLDS_MRAD = 5.0
SO101 = load_description("so101")
CHAIN = chain_of(SO101)


def hold(scene: Scene, torque: float = 1.0) -> None:
    """All servos keep where they are."""
    for servo in scene.description.servos:
        goal = scene.turned(servo).position
        scene.drive(servo, Drive(torque, goal, FASTEST, AT_ONCE))


def test_the_tool_is_where_kinematics_says(scene: Scene) -> None:
    """The bodies that physics moves and the chain that the product computes with are one arm."""
    chain = chain_of(scene.description)
    random = np.random.default_rng(0)
    for _ in range(50):
        scene.reset(draw(0, 5))
        joints = random.uniform(chain.lower, chain.upper)
        for joint, angle in zip(scene.description.joints, joints, strict=True):
            scene.data.joint(joint.name).qpos[0] = angle
        mujoco.mj_forward(scene.model, scene.data)
        expected = forward(chain, joints)
        np.testing.assert_allclose(scene.tool.position, expected.position, atol=1e-6)
        np.testing.assert_allclose(scene.tool.rotation, expected.rotation, atol=1e-6)


def test_servos_see_their_joints(scene: Scene) -> None:
    """In their own steps, as the description says."""
    scene.reset(draw(1, 5))
    for joint, angle in zip(scene.description.joints, scene.joints, strict=True):
        steps = scene.turned(joint.servo).position
        assert radians_from_steps(steps, joint.zero_step, joint.direction) == pytest.approx(angle)
    grip = scene.description.gripper
    assert scene.turned(grip.servo).position == pytest.approx(grip.open_step)


def test_an_episode_begins_at_a_stand(scene: Scene) -> None:
    """No servo turns or pushes, whatever the one before did."""
    hold(scene)
    scene.advance(0.0)
    scene.advance(0.5)
    scene.reset(draw(1, 5))
    for servo in scene.description.servos:
        shaft = scene.turned(servo)
        assert (shaft.speed, shaft.load) == (0, pytest.approx(0, abs=1e-9))


def test_a_held_arm_stands_and_a_limp_one_sinks(scene: Scene) -> None:
    """Gravity is there; servos hold against it."""
    scene.reset(draw(1, 5))
    start, height = scene.joints, scene.tool.position[2]
    hold(scene)
    scene.advance(0.0)
    scene.advance(2.0)
    assert np.abs(scene.joints - start).max() < HOLDS_MRAD / 1000
    assert any(abs(scene.turned(servo).load) > 0.02 for servo in scene.description.servos)
    hold(scene, torque=0.0)
    scene.advance(4.0)
    assert scene.tool.position[2] < height - 0.02


def test_a_servo_is_as_fast_as_it_is_told(scene: Scene) -> None:
    """Half a turn a second, from where it stands to another place."""
    scene.reset(draw(1, 5))
    servo, speed = 1, 512.0
    hold(scene)
    begin = scene.turned(servo).position
    scene.drive(servo, Drive(1.0, begin + 400, speed, AT_ONCE))
    scene.advance(10.0)
    scene.advance(10.5)
    assert scene.turned(servo).position - begin == pytest.approx(speed * 0.5, rel=0.05)
    scene.advance(12.0)
    assert scene.turned(servo).position - begin == pytest.approx(400, abs=3)


def test_torque_that_comes_back_is_no_leap(scene: Scene) -> None:
    """The goal has followed the arm that sank."""
    scene.reset(draw(1, 5))
    hold(scene, torque=0.0)
    scene.advance(0.0)
    scene.advance(1.0)
    hold(scene)
    before = scene.joints
    scene.advance(1.5)
    assert np.abs(scene.joints - before).max() < 0.02


def test_fingers_hold_a_block(scene: Scene) -> None:
    """It stays where it is between them, and its width is what keeps them apart."""
    gravity = scene.model.opt.gravity.copy()
    scene.reset(draw(2, 5))
    colour = draw(2, 5).blocks[0].colour
    block = scene.data.joint(colour)
    tool = scene.tool
    block.qpos[:3] = tool.position
    mujoco.mju_mat2Quat(block.qpos[3:], tool.rotation.ravel())
    hold(scene)
    grip = scene.description.gripper
    scene.drive(grip.servo, Drive(0.5, float(grip.closed_step), FASTEST, AT_ONCE))
    scene.advance(0.0)
    scene.model.opt.gravity[:] = 0.0  # it must not fall before they are there
    scene.advance(1.0)
    scene.model.opt.gravity[:] = gravity
    scene.advance(3.0)
    assert scene.touched() == {colour}
    assert scene.block(colour).position[2] == pytest.approx(tool.position[2], abs=0.01)
    assert scene.opening == pytest.approx(BLOCK_M / (2 * grip.finger_travel_m), abs=0.02)
    assert abs(scene.turned(grip.servo).load) > 0.3


def test_time_goes_in_whole_steps(scene: Scene) -> None:
    """However it is cut, the same comes out."""
    ends = []
    for cuts in (1, 7, 400):
        scene.reset(draw(3, 5))
        hold(scene, torque=0.0)
        scene.advance(0.0)
        for cut in range(1, cuts + 1):
            scene.advance(cut / cuts)
        ends.append(scene.joints)
    np.testing.assert_array_equal(ends[0], ends[1])
    np.testing.assert_array_equal(ends[0], ends[2])


@given(st.integers(0, 10**6))
def test_every_layout_can_be_reached(seed: int) -> None:
    """Blocks lie apart, and the tool gets to each from above, pointing down."""
    layout = draw(seed, 5)
    places = [np.array([block.x, block.y, 0.016]) for block in layout.blocks]
    assert len({block.colour for block in layout.blocks}) == PRESENT < len(COLOURS)
    for i, place in enumerate(places):
        assert all(np.linalg.norm(place - other) > 0.07 for other in places[:i])
        target = Pose(place, downwards(azimuth(place, SO101)))
        found = inverse(CHAIN, target, np.array([0.0, -0.45, 0.1, 1.5, 0.0]))
        assert found.position_error_m < 1e-4 and found.orientation_error_rad < 0.2
    assert draw(seed, 5).blocks == layout.blocks


def test_bumps(scene: Scene) -> None:
    """An arm at rest touches nothing; one that reaches down the table."""
    scene.reset(draw(3, 5))
    assert not scene.bumps
    low = scene.data.qpos.copy()
    for name, angle in (("shoulder_lift", 1.2), ("elbow_flex", 0.3), ("wrist_flex", 0.6)):
        low[scene.model.joint(name).qposadr[0]] = angle
    scene.show(low)
    assert scene.tool.position[2] < 0.02
    assert scene.bumps
