"""Demonstrations: the arm is led, a person says when one begins and how it ended."""

from __future__ import annotations

import os
import select
import shutil
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import numpy as np

from dreamvla_edge.runtime.arms.arm import Arm, ArmReading
from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.cameras.camera_pair import CameraPair
from dreamvla_edge.runtime.cameras.source import CameraSource
from dreamvla_edge.runtime.errors import ArmError
from dreamvla_edge.runtime.guardian.client import Client
from dreamvla_edge.runtime.guardian.message import Order, State, Waypoint, readable
from dreamvla_edge.runtime.guardian.process import GuardianProcess
from dreamvla_edge.runtime.guardian.report import reading_of
from dreamvla_edge.runtime.pilot.watch import Watch
from dreamvla_edge.runtime.recording.header import Header
from dreamvla_edge.runtime.recording.recorder import Recorder, Written
from dreamvla_edge.runtime.recording.teacher import Teacher, joint_specification
from dreamvla_edge.runtime.robot import Robot, describe, load_robot, open_robot_arm
from dreamvla_edge.runtime.specification import CameraSpecification, Specification

from .live_arm import opened, serial_port
from .report import Report

OUTCOMES = {"s": "success", "f": "failure", "d": "discard"}
_NEAR_RAD = 0.3
"""A demonstration begins only when the leader is so near the arm: else the arm would leap to it."""
_READY_S = 15.0
_SIZE = (480, 640)


@dataclass(frozen=True)
class Wishes:
    """The options of `dreamvla record`; leader: None for a demonstration by hand."""

    output: Path
    task: str
    leader: str | None
    rate_hz: float
    lossless: bool
    ordinary: bool


@dataclass(frozen=True)
class LedArm:
    """The follower as its watch sees it."""

    watch: Watch
    follows: bool

    def reading(self) -> ArmReading:
        """The newest. Raises ArmError when the guardian has stopped."""
        record = self.watch.report
        state = State(int(record["state"]))
        if state in (State.STOP, State.FAULT, State.LIMP):
            raise ArmError(
                f"the guardian is in {state.name} ({readable(record['reason'])})",
                "an arm that can be led",
                "look at the arm and remove the cause, then start again",
            )
        return reading_of(record)

    def drive(self, observed_ns: int, waypoints: tuple[Waypoint, ...]) -> bool:
        """Waypoints for an arm that follows a leader."""
        return self.follows and self.watch.drive(observed_ns, waypoints) is not None


class Keys:
    """Keys of the terminal as they are pressed, or characters of a pipe."""

    def __init__(self) -> None:
        self.ended = False
        self._waiting = ""

    def next(self, timeout_s: float = 0.0) -> str:
        """The next key, waited for up to timeout_s [s]; empty if there is none."""
        descriptor = sys.stdin.fileno()
        if not self._waiting and select.select([descriptor], [], [], timeout_s)[0]:
            data = os.read(descriptor, 64)
            self.ended = not data
            self._waiting = data.decode(errors="ignore")
        key, self._waiting = self._waiting[:1], self._waiting[1:]
        return key


@contextmanager
def keys() -> Iterator[Keys]:
    """Takes the terminal, if there is one, so that keys come at once."""
    if not sys.stdin.isatty():
        yield Keys()
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield Keys()
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def demonstrate(robot_file: Path, wishes: Wishes, report: Report) -> None:
    """Opens everything, then records one demonstration after the other until q.

    Raises what the parts raise; the arm is then held, or stays without torque if it is led by hand.
    """
    robot = load_robot(robot_file)
    description = describe(robot, robot_file.parent)
    cameras = (_size(robot.cameras.primary, "primary"), _size(robot.cameras.wrist, "wrist"))
    specification = joint_specification(description, cameras, wishes.rate_hz)
    outcomes: list[str] = []
    with ExitStack() as stack:
        sources = (robot.cameras.primary, robot.cameras.wrist)
        pair = stack.enter_context(CameraPair.open(sources, cameras))
        port = stack.enter_context(serial_port(robot, robot_file.parent))
        leader = None
        if wishes.leader is None:
            with opened(robot, robot_file.parent, port) as arm:
                arm.identify()
                report.text("hold the arm: its torque goes off now")
                arm.release()
        else:
            leader = _leader(wishes.leader, robot, robot_file)
            stack.callback(leader.close)
        by_hand = leader is None
        guardian = GuardianProcess(robot_file, port, shadow=by_hand, ordinary=wishes.ordinary)
        stack.enter_context(guardian)
        client = stack.enter_context(Client(guardian.socket, Order.DRIVE))
        _require_ready(client)
        keyboard = stack.enter_context(keys())
        number = _first_free(wishes.output)
        while _begins(keyboard, report):
            folder = wishes.output / f"{number:03d}"
            header = _header(robot, description, specification, wishes)
            recorder = Recorder(folder, header)
            watch = Watch(client, pair, recorder.report)
            try:
                led = LedArm(watch, not by_hand)
                if leader is not None:
                    _require_near(leader, led)
                teacher = Teacher(wishes.task, wishes.rate_hz, pair, led, leader, recorder)
                outcome = _record(teacher, keyboard)
                watch.order(Order.HOLD, outcome)
            except BaseException:
                watch.close()
                recorder.close("unknown")
                raise
            watch.close()
            written = recorder.close(outcome)
            _tell(folder, outcome, written, report)
            outcomes.append(outcome)
            if outcome == "discard":
                shutil.rmtree(folder)
            else:
                number += 1
    report.document({"output": wishes.output, "outcomes": outcomes})


def _size(source: CameraSource, role: str) -> CameraSpecification:
    height, width = (source.height, source.width) if source.width else _SIZE
    if source.crop is not None:
        height, width = source.crop[2:]
    if source.rotate in (90, 270):
        height, width = width, height
    return CameraSpecification(role=role, height=height, width=width)  # type: ignore[arg-type]


def _leader(wish: str, robot: Robot, robot_file: Path) -> Arm:
    """The leader without torque: another robot's arm, or one like this on another port."""
    other = Path(wish)
    if other.suffix == ".toml":
        arm = open_robot_arm(load_robot(other), other.parent)
    else:
        arm = open_robot_arm(robot, robot_file.parent, wish)
    arm.identify()
    arm.release()
    return arm


def _require_ready(client: Client) -> None:
    deadline = time.monotonic() + _READY_S
    while State(int(client.report()["state"])) is not State.HOLD:
        if time.monotonic() > deadline:
            raise ArmError(
                f"the arm was not ready within {_READY_S:g} s",
                "an arm that is found and read",
                "try `dreamvla robot check` with the robot file",
            )


def _require_near(leader: Arm, led: LedArm) -> None:
    distances = np.abs(leader.read().joints - led.reading().joints)
    if distances.max() > _NEAR_RAD:
        worst = leader.description.joints[int(np.argmax(distances))].name
        raise ArmError(
            f"the leader's {worst} is {distances.max():.2f} rad from the arm's",
            f"all joints within {_NEAR_RAD:g} rad, so that the arm does not leap",
            "bring the leader into the pose of the arm, then start again",
        )


def _header(
    robot: Robot, description: ArmDescription, specification: Specification, wishes: Wishes
) -> Header:
    return Header(
        robot=robot.name,
        arm=description,
        specification=specification,
        rate_hz=wishes.rate_hz,
        started=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        version=version("dreamvla-edge"),
        lossless=wishes.lossless,
    )


def _first_free(output: Path) -> int:
    """After the highest number that is there."""
    taken = [int(path.name) for path in output.glob("[0-9][0-9][0-9]*") if path.name.isdigit()]
    return max(taken, default=-1) + 1


def _begins(keyboard: Keys, report: Report) -> bool:
    """Waits for Enter, or q or the end of the input."""
    report.text("Enter begins; then s = success, f = failure, d = discard; q quits")
    while not keyboard.ended:
        key = keyboard.next(0.2)
        if key and key in "\r\n":
            return True
        if key == "q":
            return False
    return False


def _record(teacher: Teacher, keyboard: Keys) -> str:
    """Steps until a person says how it ended; the end of the input leaves that open."""
    while not keyboard.ended:
        teacher.step()
        key = keyboard.next()
        if key in OUTCOMES:
            return OUTCOMES[key]
    return "unknown"


def _tell(folder: Path, outcome: str, written: Written, report: Report) -> None:
    report.text(f"{folder}: {outcome}, {written.counts.get('steps.bin', 0)} steps")
    if written.stopped:
        report.text(f"  {written.stopped}")
    for name, count in written.dropped.items():
        report.text(f"  {count} records of {name} were dropped: the disk is too slow")
