"""What a robot's computer does with a bundle: everything but export."""

from __future__ import annotations

import numpy as np
import pytest

from dreamvla_edge.runtime import Policy, loop
from dreamvla_edge.runtime.arms import open_arm
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.bundle import Bundle
from dreamvla_edge.runtime.chunk import action_use
from dreamvla_edge.runtime.golden_case import compare_case
from dreamvla_edge.runtime.verify import verify
from dreamvla_edge.sim.camera import SimulatedCamera
from dreamvla_edge.sim.virtual_bus import VirtualBus
from episodes import EPISODES, TOLERANCE, played, released, wrong_steps
from golden_cases import FOLDER, Golden

pytestmark = pytest.mark.runtime_only


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
    """Frames in, goals out, over a real serial device; every goal is written to all servos."""
    specification = made_bundle.manifest.specification
    description = load_description("so101")
    cameras = tuple(SimulatedCamera(camera) for camera in specification.cameras)
    cycles: list[loop.Cycle] = []
    with (
        Policy(made_bundle, seed=0) as policy,
        VirtualBus({servo: 2048 for servo in description.servos}, description.baud) as bus,
    ):
        policy.reset("open the drawer")
        arm = open_arm("so101", bus.port)
        use = action_use(specification.action)
        loop.run(policy, arm, (cameras[0], cameras[1]), specification, use, 5, watch=cycles.append)
        arm.close()
        goals = [write for write in bus.writes if write.address == 42]
    assert len(cycles) == 5
    assert all(np.isfinite(cycle.goal.joints).all() for cycle in cycles)
    assert {goal.servo for goal in goals} == set(description.servos)
    assert len(goals) >= 5 * len(description.servos)
