"""The driver of every arm whose servos speak Feetech STS and whose description says the rest."""

from __future__ import annotations

from collections.abc import Mapping

from dreamvla_edge.runtime.arms import feetech
from dreamvla_edge.runtime.arms.arm import ServoReading
from dreamvla_edge.runtime.arms.bus import Answers, Line
from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.arms.servo_arm import ServoArm
from dreamvla_edge.runtime.arms.steps import STEP_RAD

_FULL_TORQUE = 1000


class FeetechArm(ServoArm):
    """An `Arm` of Feetech STS servos.

    They have no watchdog: if this process dies, they keep their last goal with torque on.
    Velocities are in steps per second until `identify` has asked the servos for their unit.
    """

    MEASURED = ("present_position", "present_current")
    BLOCKS = (
        ("firmware_major", "velocity_i_gain"),
        ("torque_enable", "present_current"),
        ("moving_threshold", "acceleration_multiplier"),
    )
    POSITION_MODE = 0

    def __init__(
        self,
        description: ArmDescription,
        port: str | Line,
        cycle_s: float = 0.01,
        latency_s: float | None = None,
    ) -> None:
        super().__init__(feetech, description, port, cycle_s, latency_s)
        self._velocity_unit = dict.fromkeys(description.servos, 1)

    def identify(self) -> None:
        """Compares the servos with the description and asks for their unit of velocity."""
        super().identify()
        for servo, values in self._ask("velocity_unit_factor", "velocity_unit_factor").items():
            self._velocity_unit[servo] = values["velocity_unit_factor"] or 1

    def store(self, servo: int, values: Mapping[str, int]) -> None:
        """Writes stored settings, which are locked before and afterwards; see `Arm.store`."""
        self._set("lock", {servo: 0})
        try:
            super().store(servo, values)
        finally:
            self._set("lock", {servo: 1})

    def _accept_goals(self) -> None:
        pass  # they always do

    def _limit_grip(self) -> None:
        gripper = self.description.gripper
        self._set("torque_limit", {gripper.servo: round(gripper.torque_limit * _FULL_TORQUE)})

    def _faults(self, answers: Answers) -> Mapping[int, tuple[str, ...]]:
        return {
            servo: feetech.fault_names(error) for servo, error in answers.errors.items() if error
        }

    def _velocity_rad_s(self, servo: int, values: Mapping[str, int]) -> float:
        return values["present_velocity"] * self._velocity_unit[servo] * STEP_RAD

    def _reading(
        self, servo: int, values: Mapping[str, int], faults: tuple[str, ...]
    ) -> ServoReading:
        return ServoReading(
            load=values["present_load"] / _FULL_TORQUE,
            current_a=abs(values["present_current"]) * feetech.CURRENT_A,
            voltage_v=values["present_voltage"] / 10,
            temperature_c=float(values["present_temperature"]),
            faults=faults,
        )
