"""Recorded waypoints sent to an arm again, guarded as in a run."""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.errors import ArmError, RecordingError
from dreamvla_edge.runtime.guardian.client import Client
from dreamvla_edge.runtime.guardian.message import (
    Command,
    Order,
    State,
    Waypoint,
    decode_report,
    readable,
)
from dreamvla_edge.runtime.guardian.plan import HORIZON_S
from dreamvla_edge.runtime.guardian.process import GuardianProcess
from dreamvla_edge.runtime.recording.recording import Recording
from dreamvla_edge.runtime.recording.step import Float64, Step
from dreamvla_edge.runtime.robot import describe, load_robot

from .live_arm import serial_port
from .report import Report

_APPROACH_RAD_S = 0.3
_READY_S = 15.0
_LEAD_S = 0.5
"""The approach takes this much longer than its speed asks: the guardian begins slowly."""


def into_arm(recording: Recording, robot_file: Path, speed: float, report: Report) -> None:
    """Moves the arm slowly to the first waypoint, then along all of them, then holds it.

    speed: share of the recorded one. Raises RecordingError if the recording does not fit the arm,
    ArmError if the guardian stops.
    """
    robot = load_robot(robot_file)
    arm = describe(robot, robot_file.parent)
    steps = [step for step in recording.steps if len(step.times_ns)]
    _require_fit(recording, arm, steps)
    with ExitStack() as stack:
        port = stack.enter_context(serial_port(robot, robot_file.parent))
        report.progress("starting the guardian")
        guardian = stack.enter_context(GuardianProcess(robot_file, port))
        client = stack.enter_context(Client(guardian.socket, Order.DRIVE))
        ready = _ready(client)
        report.progress("moving to the beginning")
        _approach(client, ready["measured"][: len(arm.joints)].copy(), steps[0])
        report.progress(f"replaying {len(steps)} steps")
        measured = _play(client, steps, speed)
    difference = _difference(recording, measured, len(arm.joints))
    report.text(
        f"{len(steps)} steps replayed at {speed:g} of their speed; the arm was"
        f" {difference:.3f} rad from the recorded motion at p95"
    )
    report.document({"steps": len(steps), "speed": speed, "difference_rad": difference})


def _require_fit(recording: Recording, arm: ArmDescription, steps: list[Step]) -> None:
    """Raises RecordingError for another kind of arm, and for no waypoints or impossible ones."""
    recorded = recording.header
    names = tuple(joint.name for joint in arm.joints)
    ahead_s = [step.times_ns[-1] * 1e-9 - step.observed_s for step in steps]
    if (recorded.arm.name, recorded.joints) != (arm.name, names):
        found = f"{recording.folder} moved a {recorded.arm.name} ({', '.join(recorded.joints)})"
    elif not steps:
        found = f"{recording.folder} holds no waypoints"
    elif max(ahead_s) > HORIZON_S:
        found = f"{recording.folder} holds a waypoint {max(ahead_s):.3g} s after its observation"
    else:
        return
    raise RecordingError(
        found,
        f"waypoints at most {HORIZON_S:g} s ahead for a {arm.name} ({', '.join(names)})",
        "replay a recording of this kind of arm",
    )


def _ready(client: Client) -> Any:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        record = client.report()
        _require_driving(record)
        if record["state"] == State.HOLD:
            return record
    raise ArmError(
        f"the arm was not ready within {_READY_S:g} s",
        "an arm that is found, read and held",
        "try `dreamvla robot check` with the robot file",
    )


def _approach(client: Client, measured: Float64, first: Step) -> None:
    """To the first waypoint in a straight line of joints, in pieces that a plan may span."""
    way = first.joints[0] - measured
    duration_s = _LEAD_S + float(np.abs(way).max()) / _APPROACH_RAD_S
    begin_s = time.monotonic()
    while (done_s := time.monotonic() - begin_s) < duration_s:
        ahead = [min(done_s + ahead_s, duration_s) for ahead_s in (0.2, 0.4)]
        joints = [measured + way * done / duration_s for done in ahead]
        times_ns = [round((begin_s + done_s + ahead_s) * 1e9) for ahead_s in (0.2, 0.4)]
        _send(client, times_ns, joints, [float(first.gripper[0])] * 2)
        time.sleep(0.05)
        _require_driving(client.report())


def _play(client: Client, steps: list[Step], speed: float) -> list[tuple[float, Float64]]:
    """Every step when it is due; the measured joints with the recorded time they belong to [s]."""
    measured: list[tuple[float, Float64]] = []
    begin_s, origin_s = time.monotonic(), steps[0].observed_s

    def keep(timeout_s: float) -> None:
        for packet in client.reports(timeout_s):
            record = decode_report(packet)
            _require_driving(record)
            at_s = origin_s + (int(record["reading_ns"]) * 1e-9 - begin_s) * speed
            measured.append((at_s, record["measured"].copy()))

    for step in steps:
        due_s = begin_s + (step.observed_s - origin_s) / speed
        while (wait_s := due_s - time.monotonic()) > 0:
            keep(wait_s)
        ahead_s = (step.times_ns * 1e-9 - origin_s) / speed
        times_ns = [round((begin_s + ahead) * 1e9) for ahead in ahead_s]
        _send(client, times_ns, list(step.joints), step.gripper.tolist())
    end_s = begin_s + (int(steps[-1].times_ns[-1]) * 1e-9 - origin_s) / speed
    while (wait_s := end_s - time.monotonic()) > 0:
        keep(wait_s)
    return [(at_s, joints) for at_s, joints in measured if at_s >= origin_s]


def _send(client: Client, times_ns: list[int], joints: list[Float64], gripper: list[float]) -> None:
    waypoints = tuple(map(Waypoint, times_ns, joints, gripper))
    number, now_ns = client.next_sequence(), time.monotonic_ns()
    client.send(Command(Order.WAYPOINTS, number, now_ns, waypoints))


def _require_driving(record: Any) -> None:
    state = State(int(record["state"]))
    if state in (State.STOP, State.FAULT, State.LIMP, State.LOWER):
        raise ArmError(
            f"the guardian is in {state.name} ({readable(record['reason'])})",
            "an arm that follows",
            "look at the arm and remove the cause, then replay again",
        )


def _difference(recording: Recording, measured: list[tuple[float, Float64]], joints: int) -> float:
    """Of the replayed from the recorded motion at the same recorded times, p95 [rad]."""
    reports = recording.reports
    if not len(reports) or not measured:
        return float("nan")
    times_s = reports["reading_ns"] * 1e-9
    inside = [(at_s, found) for at_s, found in measured if times_s[0] <= at_s <= times_s[-1]]
    if not inside:
        return float("nan")
    at_s = np.array([entry[0] for entry in inside])
    found = np.stack([entry[1][:joints] for entry in inside])
    columns = [np.interp(at_s, times_s, reports["measured"][:, i]) for i in range(joints)]
    return float(np.percentile(np.abs(found - np.stack(columns, axis=-1)).max(axis=1), 95))
