"""The control loop on a virtual SO-101 with simulated cameras and made-up policies."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from dreamvla_edge.runtime.arms import open_arm
from dreamvla_edge.runtime.arms.arm import Arm
from dreamvla_edge.runtime.arms.kinematics import chain_of, forward
from dreamvla_edge.runtime.chunk import ActionError, action_use
from dreamvla_edge.runtime.errors import ArmError
from dreamvla_edge.runtime.loop import Cycle, run
from dreamvla_edge.runtime.specification import Specification
from dreamvla_edge.sim.camera import SimulatedCamera
from dreamvla_edge.sim.virtual_bus import VirtualBus
from loop.specifications import CAMERAS, dimensions, joint_specification, pose_specification

START = {1: 2048, 2: 1800, 3: 2400, 4: 2800, 5: 2048, 6: 2674}
TORQUE, GOAL = 40, 42


@dataclass(frozen=True)
class Prediction:
    """A chunk."""

    actions: NDArray[np.float32]
    spans: Mapping[str, tuple[float, float]] = field(default_factory=dict)


class Scripted:
    """A policy that does what a function of the step says and keeps what it saw."""

    def __init__(self, action: Callable[[int], Any]) -> None:
        self.action, self.seen = action, list[tuple[Any, Any, Any]]()

    def act(
        self, primary: Any, wrist: Any, state: Any, noise: NDArray[np.float32] | None = None
    ) -> Prediction:
        """Three times the same action."""
        self.seen.append((primary, wrist, state))
        now = time.monotonic()
        row = np.asarray(self.action(len(self.seen) - 1), np.float32)
        return Prediction(np.tile(row, (3, 1)), {"backbone": (now, time.monotonic())})


@pytest.fixture
def bus() -> Iterator[VirtualBus]:
    """A virtual SO-101 with its gripper pointing down and open."""
    with VirtualBus(START) as bus:
        yield bus


@pytest.fixture
def arm(bus: VirtualBus) -> Iterator[Arm]:
    """Connected."""
    with closing(open_arm("so101", bus.port)) as arm:
        yield arm


def drive(
    policy: Scripted, arm: Arm, specification: Specification, cycles: int | None, **options: Any
) -> list[Cycle]:
    """Runs the loop and returns its records."""
    seen: list[Cycle] = []
    cameras = (SimulatedCamera(CAMERAS[0]), SimulatedCamera(CAMERAS[1]))
    use = action_use(specification.action)
    run(policy, arm, cameras, specification, use, cycles, watch=seen.append, **options)
    return seen


def assert_held(bus: VirtualBus) -> None:
    """The last five writes set the joints' goals to where they were; torque is on everywhere."""
    last = bus.writes[-5:]
    assert [(write.servo, write.address) for write in last] == [(s, GOAL) for s in range(1, 6)]
    for write in last:
        goal = int.from_bytes(write.data, "little")
        # A moving servo runs on by less than 0.1 of a turn before it is back at this goal.
        assert abs(bus.position(write.servo) - goal) < 400
    assert all(bus.registers(servo)[TORQUE] == 1 for servo in START)


def test_every_cycle_looks_thinks_and_moves(bus: VirtualBus, arm: Arm) -> None:
    """Records and what went over the wire tell the same story."""
    policy = Scripted(lambda step: [0.5, 0, 0.5, 0, 0, 0, 0.9 if step < 5 else 0.1])
    cycles = drive(policy, arm, pose_specification(), 10, rate_hz=20.0)
    assert len(cycles) == len(policy.seen) == 10
    chain = chain_of(arm.description)
    first = forward(chain, cycles[0].reading.joints).position
    for step, cycle in enumerate(cycles):
        np.testing.assert_allclose(cycle.action[:6], [0.5, 0, 0.5, 0, 0, 0])
        assert cycle.action[6] == (1.0 if step < 5 else -1.0)
        # The target moves on by 0.5 · 20 mm per step, whatever the arm does.
        asked = first + (step + 1) * np.array([0.01, 0, 0.01])
        np.testing.assert_allclose(cycle.goal.pose.position, asked, atol=1e-9)
        assert cycle.goal.gripper == (1.0 if step < 5 else 0.0)
        names = {"cameras", "arm_read", "policy", "motion", "arm_write", "policy.backbone"}
        assert set(cycle.spans) == names
        starts = [cycle.spans[n][0] for n in ("cameras", "arm_read", "policy", "motion")]
        assert starts == sorted(starts)
        assert cycle.deadline_s <= cycle.spans["cameras"][0]
        assert all(start <= end for start, end in cycle.spans.values())
    sent = [w for w in bus.writes if w.address == GOAL and w.servo == 1][1:-1]
    assert len(sent) == 10
    for write, cycle in zip(sent, cycles, strict=True):
        step = round(2048 + cycle.goal.joints[0] * 4096 / (2 * np.pi))
        assert int.from_bytes(write.data, "little") == step
    assert_held(bus)


def test_the_policy_gets_frames_and_the_networks_state(bus: VirtualBus, arm: Arm) -> None:
    """Primary, wrist, seven numbers; the last one is the command before, at first the opening."""
    policy = Scripted(lambda step: [0] * 6 + [0.9 if step % 2 else 0.1])
    cycles = drive(policy, arm, pose_specification(), 5)
    cameras = [SimulatedCamera(c) for c in CAMERAS]
    for primary, wrist, _ in policy.seen:
        assert np.array_equal(primary, cameras[0].read().image)
        assert np.array_equal(wrist, cameras[1].read().image)
    assert [float(state[6]) for _, _, state in policy.seen] == [1, -1, 1, -1, 1]
    chain = chain_of(arm.description)
    for cycle, (_, _, state) in zip(cycles, policy.seen, strict=True):
        position = forward(chain, cycle.reading.joints).position
        np.testing.assert_allclose(state[:3], position, atol=1e-6)


def test_a_measured_anchor_does_not_run_ahead(bus: VirtualBus, arm: Arm) -> None:
    """Every goal is one delta away from the reading of its own cycle."""
    policy = Scripted(lambda step: [1, 0, 0, 0, 0, 0, 1])
    cycles = drive(policy, arm, pose_specification(anchor="measured"), 8)
    chain = chain_of(arm.description)
    for cycle in cycles:
        here = forward(chain, cycle.reading.joints).position
        np.testing.assert_allclose(cycle.goal.pose.position - here, [0.02, 0, 0], atol=1e-9)


def test_a_joint_space_checkpoint(bus: VirtualBus, arm: Arm) -> None:
    """Eight numbers in, absolute angles out."""
    policy = Scripted(lambda step: [0.1, -0.2, 0.3, 0.4, 0.5, 9.0, 0.9])
    cycles = drive(policy, arm, joint_specification(), 3)
    assert [state.shape for _, _, state in policy.seen] == [(8,)] * 3
    np.testing.assert_allclose(cycles[-1].goal.joints, [0.15, 0, 0.25, 0.3, 0.35], atol=1e-6)
    assert cycles[-1].goal.gripper == 0.0  # upper means closed there


def test_a_slow_policy_skips_deadlines_and_stays_on_the_grid(bus: VirtualBus, arm: Arm) -> None:
    """2.5 periods of thinking miss two deadlines at least; none is made up for."""

    def think(step: int) -> list[float]:
        time.sleep(0.05)
        return [0] * 7

    cycles = drive(Scripted(think), arm, pose_specification(), 6, rate_hz=50.0)
    origin, ticks = cycles[0].deadline_s, [cycle.tick for cycle in cycles]
    assert ticks[0] == cycles[0].skipped == 0
    for before, after in zip(cycles[:-1], cycles[1:], strict=True):
        assert after.skipped == after.tick - before.tick - 1 >= 2
        assert before.spans["arm_write"][1] <= after.deadline_s + 1e-6  # past ones are not used
    for cycle in cycles:
        assert cycle.deadline_s - origin == pytest.approx(cycle.tick * 0.02, abs=1e-6)
        assert 0 <= cycle.late_s
        assert cycle.spans["cameras"][0] >= cycle.deadline_s


def test_torque_comes_on_before_the_first_goal_and_moves_nothing(bus: VirtualBus, arm: Arm) -> None:
    """Six times: goal is the present position, then torque."""
    drive(Scripted(lambda step: [0] * 7), arm, pose_specification(), 0)
    start = [(w.servo, w.address, int.from_bytes(w.data, "little")) for w in bus.writes[:12]]
    assert start == [
        row for servo, at in START.items() for row in ((servo, GOAL, at), (servo, TORQUE, 1))
    ]
    assert {servo: bus.position(servo) for servo in START} == START
    assert_held(bus)


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_the_arm_is_held_however_the_loop_ends(
    bus: VirtualBus, arm: Arm, error: type[BaseException]
) -> None:
    """Ctrl-C, a bug in the policy, a request to exit: in the middle of a motion."""

    def act(step: int) -> list[float]:
        if step == 5:
            raise error
        return [0, 1, 0, 0, 0, 0, 1]

    with pytest.raises(error):
        drive(Scripted(act), arm, pose_specification(), None)
    assert_held(bus)


def test_a_prediction_that_is_not_finite_stops_the_arm(bus: VirtualBus, arm: Arm) -> None:
    """Two good cycles, then NaN: nothing of the third is sent but the stop."""
    policy = Scripted(lambda step: [0, 0, 0, 0, np.nan if step == 2 else 0, 0, 1])
    with pytest.raises(ActionError):
        drive(policy, arm, pose_specification(), None)
    # Servo 6 gets its present position at the start and one goal per good cycle, no stop.
    assert len([w for w in bus.writes if (w.servo, w.address) == (6, GOAL)]) == 3
    assert_held(bus)


def test_a_fault_of_a_servo_stops_the_arm(bus: VirtualBus, arm: Arm) -> None:
    """Overload in the fourth cycle; the other joints are told to stop all the same."""

    def act(step: int) -> list[float]:
        if step == 3:
            bus.registers(2)[65] = 0x20
        return [0, 1, 0, 0, 0, 0, 1]

    policy = Scripted(act)
    with pytest.raises(ArmError, match="2: overload"):
        drive(policy, arm, pose_specification(), None)
    assert len(policy.seen) == 4
    assert_held(bus)


def test_a_checkpoint_that_does_not_fit_is_refused_before_torque(bus: VirtualBus, arm: Arm) -> None:
    """Nothing at all is written."""
    elbow = dimensions("elbow", *["unused"] * 5)
    with pytest.raises(ArmError, match="uses elbow"):
        drive(Scripted(lambda step: [0] * 7), arm, joint_specification(dimensions=elbow), 1)
    assert bus.writes == ()
