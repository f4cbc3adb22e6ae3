"""What a robot's computer does with a bundle: everything but export."""

from __future__ import annotations

import math
from contextlib import closing

import numpy as np
import pytest

from dreamvla_edge.runtime import Policy
from dreamvla_edge.runtime.arms import connect
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.arms.kinematics import chain_of
from dreamvla_edge.runtime.bundle import Bundle
from dreamvla_edge.runtime.chunk import action_use
from dreamvla_edge.runtime.golden_case import compare_case
from dreamvla_edge.runtime.guardian.limits import Motion, Target, allow, limits_of
from dreamvla_edge.runtime.motion import state_vector
from dreamvla_edge.runtime.pilot.waypoints import route
from dreamvla_edge.runtime.verify import verify
from dreamvla_edge.sim.camera import SimulatedCamera
from dreamvla_edge.sim.virtual_arm import virtual_arm
from episodes import EPISODES, TOLERANCE, played, released, wrong_steps
from golden_cases import FOLDER, Golden

pytestmark = pytest.mark.runtime_only
GOAL, STEPS_PER_RAD = 42, 4096 / math.tau


def test_the_bundle_is_verified(made_bundle: Bundle) -> None:
    """Every stage agrees with the network's golden data."""
    stages = verify(made_bundle)
    assert len(stages) > 10
    assert [stage for stage in stages if not stage.passed] == []


def test_the_released_outputs(made_bundle: Bundle) -> None:
    """Every slot of the golden case, to what float32 implementations agree to."""
    stages = compare_case(made_bundle, FOLDER, EPISODES["calvin"])
    assert len(stages) > 20
    assert [stage for stage in stages if not stage.error <= TOLERANCE] == []


def test_the_released_episode(made_bundle: Bundle, golden: Golden) -> None:
    """Twenty-five steps from raw frames and text: filling, sliding, reset, new instruction."""
    with Policy(made_bundle) as policy:
        found = played(policy, golden, "calvin")
    assert wrong_steps(found, released(golden, "calvin"), float16=True) == {}


def test_five_steps_move_a_virtual_arm(made_bundle: Bundle) -> None:
    """Frames in, waypoints out, goals within the limits over a real serial device."""
    specification = made_bundle.manifest.specification
    description = load_description("so101")
    chain, limits = chain_of(description), limits_of(description)
    cameras = tuple(SimulatedCamera(camera) for camera in specification.cameras)
    use = action_use(specification.action)
    cycles, period_s = 20, 0.01
    with (
        Policy(made_bundle, seed=0) as policy,
        virtual_arm(description) as bus,
        closing(connect(description, bus.port, latency_s=5.0)) as arm,
    ):
        policy.reset("open the drawer")
        arm.identify()
        arm.enable()
        reading = arm.read()
        goal = Motion(reading.joints, np.zeros_like(reading.joints), reading.gripper)
        ways = []
        for _ in range(5):
            reading = arm.read()
            state = state_vector(specification.state, description, chain, reading, 1.0)
            frames = [camera.read().image for camera in cameras]
            chunk = policy.act(*frames, state)
            actions = [use.use(chunk.actions)]
            way = route(specification.action, chain, actions, goal.position, 0.5, 0, 0.2)
            ways.append(way.waypoints[0].joints)
            for _ in range(cycles):
                target = Target(ways[-1], np.zeros_like(ways[-1]), way.waypoints[0].gripper)
                goal = allow(limits, target, goal, arm.read().joints, period_s, 1.0).motion
                arm.write(goal.position, goal.gripper)
        arm.read()  # the last goals have arrived
        goals = [write for write in bus.writes if write.address == GOAL]
    assert len(goals) == (1 + 5 * cycles) * len(description.servos)
    for joint in description.joints:
        sent = [int.from_bytes(g.data, "little") for g in goals if g.servo == joint.servo]
        ends = [joint.zero_step + a * STEPS_PER_RAD for a in (joint.lower_rad, joint.upper_rad)]
        assert min(ends) - 1 <= min(sent) and max(sent) <= max(ends) + 1
    assert len(np.unique(np.round(ways, 6), axis=0)) == 5


def test_what_is_seen_and_told_matters(made_bundle: Bundle) -> None:
    """Equal inputs give equal chunks; a lens cap, another instruction, another noise do not."""
    specification = made_bundle.manifest.specification
    cameras = [SimulatedCamera(camera) for camera in specification.cameras]
    frames = [camera.read().image for camera in cameras]
    black = [np.zeros_like(frame) for frame in frames]
    state = np.zeros(specification.state.size, np.float32)
    if specification.state.gripper == "command":
        state[-1] = 1.0
    shape = (made_bundle.manifest.network.action_steps, 7)
    noise = np.random.default_rng(0).standard_normal(shape, np.float32)

    def chunk(images: list[np.ndarray], told: str, drawn: np.ndarray) -> np.ndarray:
        policy.reset(told)
        return policy.act(*images, state, drawn).actions

    with Policy(made_bundle, seed=0) as policy:
        first = chunk(frames, "open the drawer", noise)
        np.testing.assert_array_equal(chunk(frames, "open the drawer", noise), first)
        for other in (
            chunk(black, "open the drawer", noise),
            chunk(frames, "push the red block to the left", noise),
            chunk(frames, "open the drawer", -noise),
        ):
            assert np.abs(other - first).max() > 1e-6
