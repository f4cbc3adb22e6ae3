"""`dreamvla arm`: the commands that talk to a running guardian, and the group of all."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .arm_calibrate import calibrate
from .arm_home import home
from .arm_limits import limits
from .arm_monitor import monitor
from .arm_scan import scan
from .arm_virtual import virtual
from .command import example, shared_options
from .report import Report

if TYPE_CHECKING:
    from dreamvla_edge.runtime.guardian.message import Order, State

SETTLE_S, LOWER_S = 3.0, 40.0
"""How long an order may take to show in the guardian's state; lowering goes the whole way [s]."""


@click.group(
    "arm",
    epilog=example(
        "dreamvla arm scan",
        "dreamvla arm monitor robot.toml",
        "dreamvla arm stop robot.toml",
    ),
)
def command() -> None:
    """Find, watch, calibrate, stop an arm.

    All of these take --json, -v and -q; each has its own --help with an example.
    """


for part in (scan, monitor, home, calibrate, limits, virtual):
    command.add_command(part)


@command.command("stop", epilog=example("dreamvla arm stop robot.toml"))
@click.argument("robot", type=click.Path(path_type=Path))
@shared_options
def stop(robot: Path, report: Report) -> None:
    """Stop the arm now: it holds where it is until `arm clear`.

    Talks to the guardian that runs for this robot. Torque stays on.
    """
    from dreamvla_edge.runtime.guardian.message import Order, State

    _order(robot, Order.STOP, (State.STOP, State.FAULT, State.LIMP), SETTLE_S, report)


@command.command("clear", epilog=example("dreamvla arm clear robot.toml"))
@click.argument("robot", type=click.Path(path_type=Path))
@shared_options
def clear(robot: Path, report: Report) -> None:
    """Say that it is safe to go on after a stop or a fault.

    Look at the arm first: it takes its torque again and follows the policy that runs.
    """
    from dreamvla_edge.runtime.guardian.message import Order, State

    _order(robot, Order.CLEAR, (State.HOLD, State.RAMP, State.TRACK), SETTLE_S, report)


@command.command("lower", epilog=example("dreamvla arm lower robot.toml"))
@click.argument("robot", type=click.Path(path_type=Path))
@shared_options
def lower(robot: Path, report: Report) -> None:
    """Move the arm slowly to its rest pose, then take its torque.

    Talks to the guardian that runs for this robot.
    """
    from dreamvla_edge.runtime.guardian.message import Order, State

    _order(robot, Order.LOWER, (State.LIMP,), LOWER_S, report)


def _order(
    robot: Path, order: Order, wanted: tuple[State, ...], within_s: float, report: Report
) -> None:
    """Gives an order and waits until the guardian's state is one of those wanted.

    Raises GuardianError if none runs or it ends up elsewhere.
    """
    from dreamvla_edge.runtime.errors import GuardianError
    from dreamvla_edge.runtime.guardian.message import Command, State, readable

    from .live_arm import guardian

    with guardian(robot) as client:
        before = State(int(client.report()["state"]))
        client.send(Command(order, reason=f"dreamvla arm {order.name.lower()}"))
        deadline = time.monotonic() + within_s
        record = client.report()
        while State(int(record["state"])) not in wanted and time.monotonic() < deadline:
            record = client.report()
    state, reason = State(int(record["state"])), readable(record["reason"])
    report.text(f"{before.name} -> {state.name}" + (f": {reason}" if reason else ""))
    report.document({"before": before.name, "state": state.name, "reason": reason})
    if state not in wanted:
        names = " or ".join(one.name for one in wanted)
        raise GuardianError(
            f"the arm is in {state.name}" + (f" ({reason})" if reason else ""),
            f"{names} within {within_s:g} s of {order.name}",
            "look at the arm and remove the cause; `dreamvla arm monitor` shows every servo",
        )
