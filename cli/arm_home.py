"""`dreamvla arm home`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .command import example, shared_options
from .report import Report

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dreamvla_edge.runtime.guardian.client import Client

SHARE = 0.25
"""Of the velocity limits: the way is planned with it, and the guardian enforces it."""
AHEAD_S, PERIOD_S = 1.0, 0.1
"""How far ahead the arm is told its way, and how often [s]: if this command dies, the arm holds."""
SETTLE_S = 10.0
"""What limits and servos may add to the way's duration [s]."""
AT_REST_RAD, ARRIVED_RAD, STANDS_RAD_S = 0.06, 0.002, 0.02
"""Servos stay a few steps off their goal, since gears have play and joints hang; goals do not."""
START_S = 10.0


@click.command("home", epilog=example("dreamvla arm home robot.toml"))
@click.argument("robot", type=click.Path(path_type=Path))
@shared_options
def home(robot: Path, report: Report) -> None:
    """Move the arm slowly to its rest pose and leave it held there.

    The rest pose is `arm.rest` of the robot file. A guardian is started for this and ends with
    it. Keep a hand on the power switch: nobody looks for obstacles.
    """
    import numpy as np

    from dreamvla_edge.runtime.errors import RobotError
    from dreamvla_edge.runtime.guardian.process import GuardianProcess
    from dreamvla_edge.runtime.robot import describe, load_robot

    from .live_arm import guardian, require_no_guardian, serial_port

    loaded = load_robot(robot)
    if loaded.arm.rest is None:
        raise RobotError(
            f"{robot} has no rest pose",
            "`rest` in its table [arm], one angle [rad] per joint",
            "put the arm where it may lose its torque, read the angles with `dreamvla arm monitor`"
            " and write them there",
        )
    description = describe(loaded, robot.parent)
    rest = np.array(loaded.arm.rest)
    velocity = description.limits.per_joint("velocity_rad_s", [j.name for j in description.joints])
    require_no_guardian(robot)
    with serial_port(loaded, robot.parent) as port, GuardianProcess(robot, port, SHARE):
        with guardian(robot, drive=True) as client:
            start, gripper = _held(client)
            duration = float((np.abs(rest - start) / (SHARE * velocity)).max())
            report.progress(f"moving for {duration:.1f} s")
            reached = _move(client, start, rest, gripper, duration)
    names = [joint.name for joint in description.joints]
    report.table(
        ("joint", "before rad", "rest rad", "after rad"),
        (
            (name, f"{a:.3f}", f"{b:.3f}", f"{c:.3f}")
            for name, a, b, c in zip(names, start, rest, reached, strict=True)
        ),
    )
    report.document(
        {"joints": names, "before": start, "rest": rest, "after": reached, "seconds": duration}
    )


def _held(client: Client) -> tuple[NDArray[np.float64], float]:
    """Joints (n,) [rad] and gripper of an arm that has its torque. Raises GuardianError."""
    from dreamvla_edge.runtime.guardian.message import State

    deadline = time.monotonic() + START_S
    record = client.report()
    while State(int(record["state"])) is not State.HOLD:
        if State(int(record["state"])) is State.FAULT or time.monotonic() > deadline:
            raise _elsewhere(record)
        record = client.report()
    return record["measured"][: int(record["servos"]) - 1].copy(), float(record["gripper"][0])


def _move(
    client: Client,
    start: NDArray[np.float64],
    rest: NDArray[np.float64],
    gripper: float,
    duration_s: float,
) -> NDArray[np.float64]:
    """Sends the straight way from start to rest, a little at a time, until the arm stands there.

    Returns the measured joints (n,) [rad]. Raises GuardianError if it does not get there.
    """
    import numpy as np

    from dreamvla_edge.runtime.guardian.message import Command, Order, State, Waypoint

    begin = time.monotonic()
    while True:
        now = time.monotonic()
        share = min((now + AHEAD_S - begin) / duration_s, 1.0) if duration_s > 0 else 1.0
        ahead_s = now + AHEAD_S if share == 1.0 else begin + share * duration_s
        waypoint = Waypoint(int(ahead_s * 1e9), start + (rest - start) * share, gripper)
        client.send(Command(Order.WAYPOINTS, client.next_sequence(), int(now * 1e9), (waypoint,)))
        time.sleep(PERIOD_S)
        record = client.report()
        joints = np.s_[: len(rest)]
        measured: NDArray[np.float64] = record["measured"][joints].copy()
        there = np.abs(measured - rest).max() < AT_REST_RAD
        stands = np.abs(record["velocity"][joints]).max() < STANDS_RAD_S
        arrived = np.abs(record["sent"][joints] - rest).max() < ARRIVED_RAD
        if there and stands and arrived:
            return measured
        late = now > begin + duration_s + SETTLE_S
        if late or State(int(record["state"])) not in (State.HOLD, State.RAMP, State.TRACK):
            raise _elsewhere(record)


def _elsewhere(record: np.void) -> Exception:
    from dreamvla_edge.runtime.errors import GuardianError
    from dreamvla_edge.runtime.guardian.message import Limit, State, readable

    state, reason = State(int(record["state"])).name, readable(record["reason"])
    limit = Limit(int(record["limit"]))
    if limit is not Limit.NONE:
        reason = f"{reason} (held back by the limit {limit.name})".strip()
    return GuardianError(
        f"the arm is in {state} and not at rest" + (f": {reason}" if reason else ""),
        "an arm that moves to its rest pose",
        "look at the arm and remove what stops it; check `arm.rest`, then try again",
    )
