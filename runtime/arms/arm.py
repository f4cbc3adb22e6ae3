"""What the guardian knows about any arm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.errors import ArmError
from dreamvla_edge.runtime.rotation import Array


class ServoReading(NamedTuple):
    """What one servo says of itself.

    load: share of the maximal torque, signed; current [A]; voltage [V]; temperature [°C];
    faults: names of the fault bits it reports, as `overload`, `overheated`, `voltage`.
    """

    load: float
    current_a: float
    voltage_v: float
    temperature_c: float
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ArmReading:
    """What an arm measured, in one transaction.

    joints: angles (n,) [rad] in the order of the description; velocity (n,) [rad/s];
    gripper: opening, 0 closed to 1 open; stamp_s: monotonic time [s], not later than the
    measurement; servos: joints first, then the gripper.
    """

    joints: Array
    velocity: Array
    gripper: float
    stamp_s: float
    servos: tuple[ServoReading, ...]


class SilentServos(ArmError):
    """Some servos did not answer in time; `servos` names their ids. May pass by itself."""

    def __init__(self, servos: tuple[int, ...], found: str, expected: str, cure: str) -> None:
        super().__init__(found, expected, cure)
        self.servos = servos


class PortGone(ArmError):
    """The serial port cannot be used any more: the cable or the adapter is gone."""


class Arm(Protocol):
    """An arm with n joints and a gripper behind one serial port, owned by one thread.

    Making one opens the port and nothing else. Every method raises PortGone when the port is
    gone and SilentServos when servos that it needs do not answer.
    """

    @property
    def description(self) -> ArmDescription:
        """Joints, limits and geometry."""

    def identify(self) -> None:
        """Asks every servo who it is and how it is set; changes nothing.

        Raises ArmError for another model, an operating mode other than position, or stored
        offsets other than those of the description.
        """

    def read(self) -> ArmReading:
        """Measures all servos. Faults that they report are data, not errors."""

    def write(self, joints: Array, gripper: float) -> None:
        """Sends goals: angles (n,) [rad] within the limits, opening 0 to 1. No answer is awaited.

        A joint beyond its limits may be told to stay where it was measured or told to be, or to
        come back. Raises ArmError, before anything is sent, if a goal is not finite or out of
        its limits otherwise.
        """

    def enable(self) -> None:
        """Torque on, without a motion: every goal is set to the present position before."""

    def release(self) -> None:
        """Torque off: the arm sinks under its weight."""

    def registers(self) -> Mapping[int, Mapping[str, int]]:
        """Every register by servo id and name, for `dreamvla arm limits` and `calibrate`."""

    def store(self, servo: int, values: Mapping[str, int]) -> None:
        """Writes stored settings (EEPROM) of one servo, read back; for `arm calibrate` only."""

    def close(self) -> None:
        """Gives the port back. Torque stays as it is: an arm that falls is no safe arm."""
