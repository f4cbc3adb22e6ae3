"""The arm of a robot file: its serial port, a driver that has it open, or its guardian."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dreamvla_edge.runtime.arms.arm import Arm
    from dreamvla_edge.runtime.guardian.client import Client
    from dreamvla_edge.runtime.robot import Robot
    from dreamvla_edge.sim.bus_process import BusProcess


@contextmanager
def serial_port(robot: Robot, folder: Path) -> Iterator[str]:
    """The port of the arm; behind that of a virtual one, servos that live as long as this.

    folder: of the robot file.
    """
    with virtual_bus(robot, folder) as bus:
        yield robot.arm.port if bus is None else bus.port


@contextmanager
def virtual_bus(robot: Robot, folder: Path, log: Path | None = None) -> Iterator[BusProcess | None]:
    """The servos of a virtual arm, None for a real one; log: see `BusProcess`."""
    from dreamvla_edge.runtime.robot import VIRTUAL, kind_of
    from dreamvla_edge.sim.bus_process import BusProcess

    if robot.arm.port != VIRTUAL:
        yield None
        return
    with BusProcess(kind_of(robot, folder), log=log) as bus:
        yield bus


@contextmanager
def opened(robot: Robot, folder: Path, port: str) -> Iterator[Arm]:
    """The driver of the arm with its port open and its torque as it was. Raises ArmError."""
    from dreamvla_edge.runtime.robot import open_robot_arm

    arm = open_robot_arm(robot, folder, port)
    try:
        yield arm
    finally:
        arm.close()


def guardian(robot: Path, drive: bool = False) -> Client:
    """A connection to the guardian that runs for this robot file. Raises GuardianError if none."""
    from dreamvla_edge.runtime.guardian.client import Client, socket_path
    from dreamvla_edge.runtime.guardian.message import Order

    return Client(socket_path(robot), Order.DRIVE if drive else Order.WATCH)


def require_no_guardian(robot: Path) -> None:
    """Raises GuardianError if one runs for this robot file: two masters have no plan in common."""
    from dreamvla_edge.runtime.errors import GuardianError

    try:
        guardian(robot).close()
    except GuardianError:
        return
    raise GuardianError(
        "a guardian runs for this arm",
        "an arm that nobody drives",
        "end `dreamvla run` first; `dreamvla arm lower` takes the arm to rest while it runs",
    )
