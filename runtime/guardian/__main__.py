"""The guardian as a program: `python -m dreamvla_edge.runtime.guardian ROBOT.toml`."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dreamvla_edge.runtime.errors import DreamvlaError
from dreamvla_edge.runtime.robot import describe, load_robot, open_robot_arm

from . import realtime
from .client import socket_path
from .guardian import Guardian
from .limits import limits_of
from .lock import hold
from .server import Server
from .settings import Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Guards the arm of a robot file until told to end; 0, or 1 if it could not begin."""
    options = _parser().parse_args(arguments)
    try:
        robot = load_robot(options.robot)
        description = describe(robot, options.robot.parent)
        port = options.port or robot.arm.port
        path = socket_path(options.robot)
        lock = hold(path.with_suffix(".lock"))
        granted = realtime.ask(not options.ordinary)
        guardian = Guardian(
            description,
            limits_of(description),
            lambda: open_robot_arm(robot, options.robot.parent, port),
            Server(path, len(description.joints)),
            Settings(
                speed=options.speed,
                shadow=options.shadow,
                limp=options.limp,
                rest=None if robot.arm.rest is None else np.array(robot.arm.rest),
                realtime=granted.bits,
            ),
        )
    except DreamvlaError as error:
        print(f"guardian: {error}", file=sys.stderr)
        return 1
    if granted.why_not:
        print(f"guardian: {granted.why_not}", file=sys.stderr, flush=True)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: guardian.end())
    with lock:
        guardian.run()
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="guardian", description=__doc__)
    parser.add_argument("robot", type=Path, help="the robot file")
    parser.add_argument("--port", help="instead of the robot file's")
    parser.add_argument("--speed", type=_share, default=1.0, help="share of the velocity limits")
    parser.add_argument("--shadow", action="store_true", help="torque off, nothing is sent")
    parser.add_argument("--limp", action="store_true", help="end lowered and without torque")
    parser.add_argument("--ordinary", action="store_true", help="ask for no real-time scheduling")
    return parser


def _share(text: str) -> float:
    share = float(text)
    if not 0 < share <= 1:
        raise argparse.ArgumentTypeError("a share is above 0, at most 1")
    return share


if __name__ == "__main__":
    sys.exit(main())
