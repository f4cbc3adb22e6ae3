"""What the control loop knows about any arm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.rotation import Array


@dataclass(frozen=True)
class ServoHealth:
    """load: share of the maximal torque, signed; voltage [V]; temperature [°C]."""

    load: float
    voltage_v: float
    temperature_c: float


@dataclass(frozen=True, eq=False)
class ArmReading:
    """What an arm measured.

    joints: angles (n,) [rad] in the order of the description; gripper: opening, 0 closed to
    1 open; stamp_s: monotonic time [s], not later than the measurement; servos: health of the
    servos, joints first, then the gripper.
    """

    joints: Array
    gripper: float
    stamp_s: float
    servos: tuple[ServoHealth, ...] = ()


class Arm(Protocol):
    """An arm with n joints and a gripper. Every method raises ArmError when the arm fails."""

    @property
    def description(self) -> ArmDescription:
        """Joints, limits and geometry."""

    def read(self) -> ArmReading:
        """Measures. Raises ArmError if a servo is silent or reports a fault."""

    def write(self, joints: Array, gripper: float) -> None:
        """Sends goals: angles (n,) [rad] within the limits, opening 0 to 1.

        Raises ArmError, before anything is sent, if a goal is not finite or out of its limits.
        """

    def enable(self) -> None:
        """Torque on, without a motion: every goal is set to the present position before."""

    def hold(self) -> None:
        """Stops where the arm is, torque unchanged. The gripper keeps its goal and its grip."""

    def release(self) -> None:
        """Torque off: the arm sinks under its weight. For a person who holds it."""

    def close(self) -> None:
        """Gives the port back. Torque stays as it is: an arm that falls is no safe arm."""
