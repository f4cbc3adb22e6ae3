"""The driver of every arm whose servos speak Feetech STS and whose description says the rest."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from dreamvla_edge.runtime.arms.arm import ArmReading, ServoHealth
from dreamvla_edge.runtime.arms.bus import Answers, FeetechBus, silent_servos
from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.arms.feetech import (
    STEPS_PER_TURN,
    fault_names,
    radians_from_steps,
    steps_from_radians,
)
from dreamvla_edge.runtime.errors import ArmError
from dreamvla_edge.runtime.rotation import Array

# A lost reply is normal on a long daisy chain; three in a row are not.
_ATTEMPTS = 3


class FeetechArm:
    """An `Arm` of Feetech STS servos.

    Connecting asks every servo for its model and changes nothing: torque, goals and stored
    settings stay as they are. STS servos have no watchdog: if this process dies, they keep
    their last goal with torque on.
    Raises ArmError if the port cannot be opened or a servo is silent or of another model.
    """

    def __init__(self, description: ArmDescription, port: str) -> None:
        self.description = description
        self._bus = FeetechBus(port, description.baud)
        try:
            self._check_servos()
        except BaseException:
            self._bus.close()
            raise

    def read(self) -> ArmReading:
        """Measures all servos in one transaction; see `Arm.read`."""
        stamp_s = time.monotonic()
        answers = self._ask("present_position", "present_temperature")
        self._refuse_silence(answers)
        self._refuse_faults(answers)
        steps = {servo: values["present_position"] for servo, values in answers.values.items()}
        lost = {servo: at for servo, at in steps.items() if not 0 <= at < STEPS_PER_TURN}
        if lost:
            raise ArmError(
                f"servos report positions outside one turn (id: step): {lost}",
                f"0 to {STEPS_PER_TURN - 1} steps",
                "calibrate the arm: its middle position is not stored in the servos",
            )
        grip = self.description.gripper
        opening = (steps[grip.servo] - grip.closed_step) / (grip.open_step - grip.closed_step)
        return ArmReading(
            joints=np.array(
                [
                    radians_from_steps(steps[joint.servo], joint.zero_step, joint.direction)
                    for joint in self.description.joints
                ]
            ),
            gripper=min(max(opening, 0.0), 1.0),
            stamp_s=stamp_s,
            servos=tuple(
                ServoHealth(
                    load=answers.values[servo]["present_load"] / 1000,
                    voltage_v=answers.values[servo]["present_voltage"] / 10,
                    temperature_c=float(answers.values[servo]["present_temperature"]),
                )
                for servo in self.description.servos
            ),
        )

    def write(self, joints: Array, gripper: float) -> None:
        """Sends goals to all servos at once; see `Arm.write`."""
        self._refuse_bad_goals(joints, gripper)
        grip = self.description.gripper
        goals = {
            joint.servo: steps_from_radians(float(angle), joint.zero_step, joint.direction)
            for joint, angle in zip(self.description.joints, joints, strict=True)
        }
        travel = grip.open_step - grip.closed_step
        goals[grip.servo] = grip.closed_step + round(float(gripper) * travel)
        self._bus.sync_write("goal_position", goals)

    def enable(self) -> None:
        """Torque on without a motion; see `Arm.enable`."""
        answers = self._ask("present_position", "present_position")
        self._refuse_silence(answers)
        self._refuse_faults(answers)
        for servo in self.description.servos:
            # Acknowledged, unlike sync_write: torque on after a lost goal would be a leap.
            goal = answers.values[servo]["present_position"]
            if not (
                self._set(servo, "goal_position", goal) and self._set(servo, "torque_enable", 1)
            ):
                raise silent_servos(self._bus.port, [servo])

    def hold(self) -> None:
        """Stops all joints that can be reached, faults or not; see `Arm.hold`."""
        moving = [joint.servo for joint in self.description.joints]
        for _ in range(_ATTEMPTS):
            answers = self._bus.sync_read(moving, "present_position", "present_position")
            for servo, values in answers.values.items():
                # Acknowledged: no later goal would make up for a lost stop.
                if self._bus.write(servo, "goal_position", values["present_position"]) is not None:
                    moving.remove(servo)
            if not moving:
                return
        raise silent_servos(self._bus.port, moving)

    def release(self) -> None:
        """Torque off, faults or not; see `Arm.release`."""
        silent = [s for s in self.description.servos if not self._set(s, "torque_enable", 0)]
        if silent:
            raise silent_servos(self._bus.port, silent)

    def close(self) -> None:
        """Gives the port back; torque stays as it is."""
        self._bus.close()

    def _ask(self, first: str, last: str) -> Answers:
        """Reads a block of all servos; asks those again that did not answer."""
        values: dict[int, Mapping[str, int]] = {}
        errors: dict[int, int] = {}
        silent = self.description.servos
        for _ in range(_ATTEMPTS):
            answers = self._bus.sync_read(silent, first, last)
            values |= answers.values
            errors |= answers.errors
            silent = answers.silent
            if not silent:
                break
        return Answers(values, errors, silent)

    def _set(self, servo: int, register: str, value: int) -> bool:
        """Writes one register until it is acknowledged; False if it never was."""
        return any(self._bus.write(servo, register, value) is not None for _ in range(_ATTEMPTS))

    def _check_servos(self) -> None:
        silent = [servo for servo in self.description.servos if not self._answers_ping(servo)]
        if silent:
            raise silent_servos(self._bus.port, silent)
        answers = self._ask("model", "model")
        self._refuse_silence(answers)
        models = {servo: values["model"] for servo, values in answers.values.items()}
        if set(models.values()) != {self.description.model}:
            raise ArmError(
                f"the servos on {self._bus.port} are of the models (id: model) {models}",
                f"model {self.description.model} for every servo of {self.description.name}",
                "check that this is the right port and arm",
            )

    def _answers_ping(self, servo: int) -> bool:
        return any(self._bus.ping(servo) is not None for _ in range(_ATTEMPTS))

    def _refuse_silence(self, answers: Answers) -> None:
        if answers.silent:
            raise silent_servos(self._bus.port, answers.silent)

    def _refuse_faults(self, answers: Answers) -> None:
        faults = {s: fault_names(error) for s, error in answers.errors.items() if error}
        if faults:
            raise ArmError(
                "servos report faults: "
                + "; ".join(f"{servo}: {', '.join(names)}" for servo, names in faults.items()),
                "no fault bit",
                "remove the cause (obstacle, heat, weak supply), then switch servo power off, on",
            )

    def _refuse_bad_goals(self, joints: Array, gripper: float) -> None:
        limits = [(j.name, j.lower_rad, j.upper_rad) for j in self.description.joints]
        if np.shape(joints) != (len(limits),):
            raise ArmError(
                f"joint goals of shape {np.shape(joints)}",
                f"{len(limits)} angles",
                "report this as a bug",
            )
        goals = [*zip(limits, joints, strict=True), (("gripper", 0.0, 1.0), gripper)]
        # `not (a <= x <= b)` also refuses NaN.
        bad = [
            f"{name} = {goal:.4g}, allowed {lower:.4g} to {upper:.4g}"
            for (name, lower, upper), goal in goals
            if not lower <= goal <= upper
        ]
        if bad:
            raise ArmError(
                f"goals that the arm must not take: {'; '.join(bad)}",
                "finite goals within the limits of the arm's description",
                "nothing was sent; report this as a bug",
            )
