"""The guardian with a virtual arm behind a real pseudo-terminal, in a thread of this process."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamvla_edge.runtime.arms import connect
from dreamvla_edge.runtime.arms.description import ArmDescription, load_description
from dreamvla_edge.runtime.arms.steps import radians_from_steps
from dreamvla_edge.runtime.errors import ArmError
from dreamvla_edge.runtime.guardian.client import Client
from dreamvla_edge.runtime.guardian.guarded_arm import GuardedArm
from dreamvla_edge.runtime.guardian.guardian import Guardian
from dreamvla_edge.runtime.guardian.limits import limits_of
from dreamvla_edge.runtime.guardian.message import Command, Order, State, Waypoint, readable
from dreamvla_edge.runtime.guardian.server import Server
from dreamvla_edge.runtime.guardian.settings import Settings
from dreamvla_edge.sim.fault import Fault
from dreamvla_edge.sim.virtual_arm import start_positions, virtual_arm
from dreamvla_edge.sim.virtual_bus import VirtualBus

SO101 = load_description("so101")
PATIENT_S = 120.0
TORQUE, GOAL, MODEL, TEMPERATURE = 40, 42, 3, 63
UPPER, OUTSIDE = 3299, 3400  # of servo 1


@dataclass
class Guarded:
    """A guardian that runs, and a policy that is connected to it."""

    client: Client
    thread: threading.Thread
    guardian: Guardian

    def wait(self, *states: State) -> Any:
        """The first report with one of these states."""
        deadline = time.monotonic() + PATIENT_S
        while (report := self.client.report(PATIENT_S))["state"] not in states:
            assert time.monotonic() < deadline, (State(report["state"]), report["reason"])
        return report

    def tell(self, order: Order) -> None:
        """An order, and the report of the cycle after it was taken, or a later one."""
        self.client.send(Command(order))
        self.client.reports()
        for _ in range(3):
            self.client.report(PATIENT_S)

    def go(self, joints: np.ndarray, seconds: float, observed_ns: int | None = None) -> None:
        """One waypoint, from what is seen now."""
        now = time.monotonic_ns()
        way = (Waypoint(now + round(seconds * 1e9), joints, 0.5),)
        seen = now if observed_ns is None else observed_ns
        number = self.client.next_sequence()
        self.client.send(Command(Order.WAYPOINTS, number, seen, way))

    def ended(self) -> bool:
        """Whether it ends by itself."""
        self.thread.join(PATIENT_S)
        return not self.thread.is_alive()


@contextmanager
def guarded(
    bus: VirtualBus,
    folder: Path,
    description: ArmDescription = SO101,
    before: Order = Order.WATCH,
    **settings: Any,
) -> Iterator[Guarded]:
    """Runs until the body is done; before: an order that waits when it begins."""
    server = Server(folder / "socket", len(description.joints))
    guardian = Guardian(
        description,
        limits_of(description),
        lambda: connect(description, bus.port),
        server,
        Settings(**settings),
    )
    with Client(folder / "socket", Order.DRIVE) as client:
        client.send(Command(before))
        thread = threading.Thread(target=guardian.run)
        thread.start()
        try:
            yield Guarded(client, thread, guardian)
        finally:
            guardian.end()
            thread.join(PATIENT_S)
            assert not thread.is_alive()


@pytest.fixture
def bus() -> Iterator[VirtualBus]:
    """A virtual SO-101 in the middle of its ranges."""
    with virtual_arm(SO101) as bus:
        yield bus


def goals(bus: VirtualBus, servo: int) -> list[int]:
    """All goals that a servo was sent [step]."""
    return [
        int.from_bytes(write.data, "little")
        for write in bus.writes
        if (write.servo, write.address) == (servo, GOAL)
    ]


def torque(bus: VirtualBus) -> set[int]:
    """Of all servos."""
    return {bus.registers(servo)[TORQUE] for servo in SO101.servos}


def test_an_arm_that_starts_outside_is_held_there_and_eased_back(tmp_path: Path) -> None:
    """Held, not in fault; once it is told to go it comes back and never goes further out."""
    with (
        VirtualBus(start_positions(SO101) | {1: OUTSIDE}) as bus,
        guarded(bus, tmp_path) as arm,
    ):
        arm.wait(State.HOLD)
        for _ in range(30):
            assert arm.client.report()["state"] == State.HOLD
        assert set(goals(bus, 1)) == {OUTSIDE}
        middle = arm.client.report()["measured"][:5].copy()
        middle[0] = 1.5
        for _ in range(60):
            arm.go(middle, 0.2)
            time.sleep(0.02)
        arm.wait(State.RAMP, State.TRACK)
        back = goals(bus, 1)
        out = [goal for goal in back if goal > UPPER]
        assert back[: len(out)] == out == sorted(out, reverse=True) and max(out) == OUTSIDE
        assert len(out) < len(back)


def test_the_driver_lets_nothing_further_out(bus: VirtualBus) -> None:
    """A joint beyond its limit may stay or come back; a step further is refused."""
    lower = np.array([joint.lower_rad for joint in SO101.joints])
    with (
        VirtualBus(start_positions(SO101) | {1: OUTSIDE}) as bus,
        closing(connect(SO101, bus.port, latency_s=5.0)) as arm,
    ):
        here = arm.read().joints
        at = radians_from_steps(OUTSIDE, 2048, 1)
        arm.enable()
        for angle, allowed in (
            (at, True),
            (at + 0.01, False),
            (at - 0.05, True),
            (lower[0], True),
            (lower[0] - 0.01, False),
        ):
            goal = here.copy()
            goal[0] = angle
            if allowed:
                arm.write(goal, 0.5)
            else:
                with pytest.raises(ArmError, match="shoulder_pan = .* must not|must not take"):
                    arm.write(goal, 0.5)
        # Inside once, and measured there: outside is not where it was any more.
        arm.write(np.where(np.arange(5) == 0, 1.5, here), 0.5)
        deadline = time.monotonic() + PATIENT_S
        while arm.read().joints[0] > 1.9:
            assert time.monotonic() < deadline
        with pytest.raises(ArmError, match="must not take"):
            arm.write(here, 0.5)


def test_an_arm_that_is_none_of_ours_is_never_touched(bus: VirtualBus, tmp_path: Path) -> None:
    """Another model, and hot: in fault, although what is hot would be lowered."""
    bus.set(3, MODEL, 99)
    bus.set(2, TEMPERATURE, 80)
    with guarded(bus, tmp_path) as arm:
        report = arm.wait(State.FAULT)
        assert "model" in readable(report["reason"])
        for _ in range(20):
            assert arm.client.report()["state"] == State.FAULT
    assert bus.writes == ()


def test_a_stop_during_the_start_is_not_lost(bus: VirtualBus, tmp_path: Path) -> None:
    """Nothing is written until a person clears it."""
    with guarded(bus, tmp_path, before=Order.STOP) as arm:
        arm.wait(State.FAULT)
        time.sleep(0.1)
        assert bus.writes == ()
        arm.tell(Order.CLEAR)
        arm.wait(State.HOLD)
        assert torque(bus) == {1}


def test_what_was_seen_before_a_stop_moves_nothing_after_it(
    bus: VirtualBus, tmp_path: Path
) -> None:
    """Though the stop was cleared since; what is seen afterwards does."""
    with guarded(bus, tmp_path) as arm:
        there = arm.wait(State.HOLD)["measured"][:5] + 0.2
        seen_ns = time.monotonic_ns()
        arm.tell(Order.STOP)
        arm.go(there, 1.0)
        assert arm.client.report()["state"] == State.STOP
        arm.tell(Order.CLEAR)
        arm.wait(State.HOLD)
        arm.go(there, 1.0, seen_ns)
        for _ in range(10):
            assert arm.client.report()["state"] == State.HOLD
        arm.go(there, 1.0)
        arm.wait(State.RAMP)


def test_waypoints_run_out(bus: VirtualBus, tmp_path: Path) -> None:
    """Held where it is, and the gripper keeps what it was told last."""
    with guarded(bus, tmp_path) as arm:
        start = arm.wait(State.HOLD)["measured"][:5].copy()
        arm.go(start + 0.3, 0.3)
        arm.wait(State.RAMP)
        report = arm.wait(State.HOLD)
        assert readable(report["reason"]) == "no waypoints left"
        for _ in range(10):
            arm.client.report()
        still = arm.client.report()["sent"][:5].copy()
        assert (still > start).all() and (still < start + 0.3).all()
        np.testing.assert_array_equal(arm.client.report()["sent"][:5], still)


@pytest.mark.parametrize("limp", [False, True])
def test_shadow_writes_nothing(bus: VirtualBus, tmp_path: Path, limp: bool) -> None:
    """Whatever is asked for, and at the end."""
    with guarded(bus, tmp_path, shadow=True, limp=limp) as arm:
        start = arm.wait(State.HOLD)["measured"][:5].copy()
        arm.go(start + 0.3, 5.0)
        arm.wait(State.TRACK)
        report = arm.client.report()
        assert (report["asked"][:5] > start).all() and (report["sent"][:5] > start).all()
        assert report["written"] == 0
        for order in (Order.HOLD, Order.STOP, Order.CLEAR, Order.LOWER):
            arm.tell(order)
        arm.client.send(Command(Order.END))
        assert arm.ended()
    assert bus.writes == ()


def test_the_end_is_a_hold(bus: VirtualBus, tmp_path: Path) -> None:
    """In the middle of a motion: braked, torque on, and the arm stands where it was sent last."""
    with guarded(bus, tmp_path) as arm:
        start = arm.wait(State.HOLD)["measured"][:5].copy()
        arm.go(start + 0.9, 3.0)
        arm.wait(State.TRACK)
        arm.client.send(Command(Order.END))
        assert arm.ended()
    last = {servo: goals(bus, servo)[-3:] for servo in (1, 2, 3, 4, 5)}
    assert torque(bus) == {1}
    time.sleep(0.2)
    for servo, sent in last.items():
        assert abs(sent[-1] - sent[-2]) <= abs(sent[-2] - sent[-3]) + 1  # slower, to a stand
        assert abs(bus.position(servo) - sent[-1]) < 12


def test_the_end_with_limp_lowers_first(bus: VirtualBus, tmp_path: Path) -> None:
    """To the pose in the robot file, slowly, then without torque."""
    rest = np.array([0.0, -0.3, 0.3, 0.2, 0.0])
    with guarded(bus, tmp_path, limp=True, rest=rest) as arm:
        arm.wait(State.HOLD)
        arm.guardian.end()
        arm.wait(State.LOWER)
        assert arm.ended()
    assert torque(bus) == {0}
    for joint, angle in zip(SO101.joints, rest, strict=True):
        at = radians_from_steps(bus.position(joint.servo), joint.zero_step, joint.direction)
        assert abs(at - angle) < 0.06


def test_a_stop_while_it_is_lowered_at_the_end_stays_a_stop(
    bus: VirtualBus, tmp_path: Path
) -> None:
    """Somebody stands in the way: it is held, and the end is not worth more than that."""
    rest = np.array([1.5, -1.2, 1.2, 1.0, 1.0])
    with guarded(bus, tmp_path, limp=True, rest=rest) as arm:
        arm.wait(State.HOLD)
        arm.guardian.end()
        arm.wait(State.LOWER)
        arm.client.send(Command(Order.STOP))
        assert arm.ended()
    assert torque(bus) == {1}


def test_a_limp_arm_is_taken_again_when_somebody_clears_it(bus: VirtualBus, tmp_path: Path) -> None:
    """With the four steps of the start."""
    with guarded(bus, tmp_path) as arm:
        arm.wait(State.HOLD)
        arm.client.send(Command(Order.LOWER))
        arm.wait(State.LIMP)
        assert torque(bus) == {0}
        arm.tell(Order.CLEAR)
        arm.wait(State.HOLD)
        assert torque(bus) == {1}


def test_the_cable_is_pulled_and_plugged_in_again(bus: VirtualBus, tmp_path: Path) -> None:
    """Only a person brings it back, and then it begins where the arm is by now."""
    link = tmp_path / "arm"
    with virtual_arm(SO101, link=link) as bus, guarded(bus, tmp_path) as arm:
        start = arm.wait(State.HOLD)["measured"][:5].copy()
        arm.go(start + 0.9, 3.0)
        arm.wait(State.TRACK)
        bus.unplug()
        arm.wait(State.FAULT)
        bus.replug()
        time.sleep(0.1)
        assert arm.client.report()["state"] == State.FAULT
        arm.tell(Order.CLEAR)
        report = arm.wait(State.HOLD)
        np.testing.assert_allclose(report["sent"][:5], report["measured"][:5], atol=0.01)


def test_a_dead_bus_leaves_no_garbage(bus: VirtualBus) -> None:
    """Errors by the thousand, and none keeps itself alive: nobody collects in a guardian."""
    arm = GuardedArm(SO101, lambda: connect(SO101, bus.port, latency_s=0.0))
    arm.open()
    bus.fault(Fault("off", None))
    gc.collect()
    gc.disable()
    try:
        silent = 0
        for _ in range(300):
            try:
                arm.read()
            except ArmError:
                silent += 1
        assert silent > 100
        assert gc.collect() < 100
    finally:
        gc.enable()
        arm.close()


def test_a_dynamixel_arm_is_held_after_the_end_and_taken_over_again(tmp_path: Path) -> None:
    """Its watchdog has stopped it by then; the next guardian begins all the same."""
    koch = load_description("koch")
    with virtual_arm(koch) as bus:
        for run in ("first", "second"):
            (tmp_path / run).mkdir()
            with guarded(bus, tmp_path / run, koch) as arm:
                start = arm.wait(State.HOLD)["measured"][: len(koch.joints)].copy()
                arm.go(start + 0.2, 0.5)
                arm.wait(State.RAMP)
                arm.client.send(Command(Order.END))
                assert arm.ended()
            time.sleep(0.2)
            assert {bus.registers(servo)[64] for servo in koch.servos} == {1}


def test_a_stalled_joint_does_not_go_on_pressing(bus: VirtualBus, tmp_path: Path) -> None:
    """In fault its goal goes back to where it is; when the obstacle goes, nothing moves."""
    bus.obstruct(1, (2100, 4000))
    with guarded(bus, tmp_path) as arm:
        arm.wait(State.HOLD)
        aim = np.array([1.0, 0.0, 0.0, 0.0, 0.0])
        deadline = time.monotonic() + PATIENT_S
        while arm.client.report(PATIENT_S)["state"] != State.FAULT:
            assert time.monotonic() < deadline
            arm.go(aim, 1.0)
        assert "stalled" in readable(arm.wait(State.FAULT)["reason"])
        while (
            abs((report := arm.client.report(PATIENT_S))["sent"][0] - report["measured"][0]) > 0.01
        ):
            assert time.monotonic() < deadline
        before = bus.position(1)
        bus.obstruct(1, None)
        time.sleep(0.3)
        assert abs(bus.position(1) - before) <= 5
        assert torque(bus) == {1}
