"""Looks whether a guardian moves an arm, and stops it if asked to.

    python -m dreamvla_edge.deploy.motion ROBOT.toml [--stop]

Prints one JSON document: `state` of the guardian, empty without one, and whether it moves the arm.
Opens no serial port and gives no order but a stop.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from dreamvla_edge.runtime.errors import ArmError, GuardianError, RobotError
from dreamvla_edge.runtime.guardian.client import Client, socket_path
from dreamvla_edge.runtime.guardian.message import Command, Order, State

_MOVES = (State.RAMP, State.TRACK, State.LOWER)
_SETTLE_S = 3.0


def main() -> None:
    """See above."""
    robot, *options = sys.argv[1:]
    state = look(Path(robot), stop="--stop" in options)
    moves = state in _MOVES
    print(json.dumps({"state": "" if state is None else state.name, "moves": moves}))


def look(robot: Path, stop: bool) -> State | None:
    """The guardian's state, after a stop if it moved the arm and is to be stopped; None: none."""
    try:
        with Client(socket_path(robot)) as client:
            state = _state(client)
            if stop and state in _MOVES:
                client.send(Command(Order.STOP, reason="stopped by dreamvla flash"))
                deadline = time.monotonic() + _SETTLE_S
                while state in _MOVES and time.monotonic() < deadline:
                    state = _state(client)
            return state
    except (RobotError, ArmError, GuardianError):  # no robot file, or nobody guards its arm
        return None


def _state(client: Client) -> State:
    return State(int(client.report()["state"]))


if __name__ == "__main__":
    main()
