"""What every arm of servos on one bus does, whatever its protocol."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np

from dreamvla_edge.runtime.arms.arm import ArmReading, ServoReading
from dreamvla_edge.runtime.arms.bus import Answers, Bus, Codec, Line
from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.arms.goals import goal_steps
from dreamvla_edge.runtime.arms.refusals import refusal, silence
from dreamvla_edge.runtime.arms.steps import STEPS_PER_TURN, radians_from_steps
from dreamvla_edge.runtime.errors import ArmError
from dreamvla_edge.runtime.rotation import Array

# Outside of a control cycle: a lost packet is normal on a long daisy chain; three in a row are
# not. Each question is waited for longer [s], since it may be the host that was busy.
_MORE_S = (0.0, 0.02, 0.1)
_ATTEMPTS = len(_MORE_S)
# How often to look where a servo is until two looks agree, and by what they may differ [step].
_LOOKS, _SAME_STEPS = 8, 10


class ServoArm(ABC):
    """An `Arm` whose servos share one bus; the protocols' drivers say the rest.

    Register names that both protocols have mean the same in both. Nothing but `store` writes
    stored settings. cycle_s: time [s] that one `read` may take, so that there is time for a
    second question to servos that missed the first; latency_s: see `Bus`.
    """

    # Registers that `read` asks for, first to last, and those of `registers`, in blocks.
    MEASURED: tuple[str, str]
    BLOCKS: Sequence[tuple[str, str]]
    POSITION_MODE: int

    def __init__(
        self,
        codec: Codec,
        description: ArmDescription,
        port: str | Line,
        cycle_s: float,
        latency_s: float | None,
    ) -> None:
        self.description = description
        self._table = codec.TABLE
        self._cycle_s = cycle_s
        self._bus = Bus(codec, port, description.baud, latency_s)
        self._measured: Array | None = None
        self._told: Array | None = None

    def identify(self) -> None:
        """Asks every servo who it is and how it is set; see `Arm.identify`."""
        found = {servo: dict[str, int]() for servo in self.description.servos}
        expected = {servo: dict(self._settings(servo)) for servo in self.description.servos}
        for name in dict.fromkeys(name for wanted in expected.values() for name in wanted):
            for servo, values in self._ask(name, name).items():
                found[servo].update(values)
        wrong = [
            f"servo {servo} has {name} {found[servo][name]}, not {value}"
            for servo, wanted in expected.items()
            for name, value in wanted.items()
            if found[servo][name] != value
        ]
        wrong += [
            f"servo {servo} is at step {values['present_position']}, outside one turn"
            for servo, values in self._ask("present_position", "present_position").items()
            if not 0 <= values["present_position"] < STEPS_PER_TURN
        ]
        if wrong:
            raise ArmError(
                f"the servos on {self._bus.port} are not as expected: {'; '.join(wrong)}",
                f"the servos of {self.description.name}, as they were when it was calibrated",
                "check that this is the right port and arm; if it is, calibrate it: "
                "dreamvla arm calibrate",
            )

    def read(self) -> ArmReading:
        """Measures all servos in one transaction; see `Arm.read`.

        Servos that miss it are asked once more if the cycle has time for that.
        """
        stamp_s = self._bus.now_s()
        answers = self._measure(stamp_s + self._cycle_s)
        self._refuse_silence(answers.silent)
        faults = self._faults(answers)
        values, description = answers.values, self.description
        grip = description.gripper
        opening = (values[grip.servo]["present_position"] - grip.closed_step) / (
            grip.open_step - grip.closed_step
        )
        self._measured = np.array(
            [
                radians_from_steps(
                    values[joint.servo]["present_position"], joint.zero_step, joint.direction
                )
                for joint in description.joints
            ]
        )
        return ArmReading(
            joints=self._measured.copy(),
            velocity=np.array(
                [
                    joint.direction * self._velocity_rad_s(joint.servo, values[joint.servo])
                    for joint in description.joints
                ]
            ),
            gripper=min(max(opening, 0.0), 1.0),
            stamp_s=stamp_s,
            servos=tuple(
                self._reading(servo, values[servo], faults.get(servo, ()))
                for servo in description.servos
            ),
        )

    def write(self, joints: Array, gripper: float) -> None:
        """Sends goals to all servos at once; see `Arm.write`."""
        known = [angles for angles in (self._measured, self._told) if angles is not None]
        goals = goal_steps(self.description, joints, gripper, known)
        self._bus.sync_write("goal_position", goals)
        self._told = np.array(joints, float)

    def enable(self) -> None:
        """Torque on without a motion, then the limit of the grip; see `Arm.enable`."""
        self._told = None
        present = self._places()
        self._accept_goals()
        self._set("goal_position", present)
        self._set("torque_enable", dict.fromkeys(self.description.servos, 1))
        self._limit_grip()

    def release(self) -> None:
        """Torque off, faults or not; see `Arm.release`."""
        self._set("torque_enable", dict.fromkeys(self.description.servos, 0))

    def registers(self) -> Mapping[int, Mapping[str, int]]:
        """Every register; see `Arm.registers`."""
        found = {servo: dict[str, int]() for servo in self.description.servos}
        for first, last in self.BLOCKS:
            for servo, values in self._ask(first, last).items():
                found[servo].update(values)
        return found

    def store(self, servo: int, values: Mapping[str, int]) -> None:
        """Writes stored settings of one servo, whose torque is off; see `Arm.store`."""
        if self._ask("torque_enable", "torque_enable", [servo])[servo]["torque_enable"]:
            raise ArmError(
                f"servo {servo} has its torque on",
                "torque off while settings are stored",
                "hold the arm and release it first",
            )
        for name, value in values.items():
            if not any(self._stores(servo, name, value) for _ in range(_ATTEMPTS)):
                raise self._refusal(name, [servo])

    def close(self) -> None:
        """Gives the port back; torque stays as it is."""
        self._bus.close()

    def _settings(self, servo: int) -> Mapping[str, int]:
        """Registers that `identify` compares, with what they must hold."""
        (part,) = (part for part in self.description.parts if part.servo == servo)
        mode = self.POSITION_MODE if part.operating_mode is None else part.operating_mode
        settings = {"model": self.description.models[servo], "operating_mode": mode}
        if part.homing_offset is not None:
            settings["homing_offset"] = part.homing_offset
        return settings

    @abstractmethod
    def _accept_goals(self) -> None:
        """Makes servos take goals that something else has kept from it."""

    @abstractmethod
    def _limit_grip(self) -> None:
        """Limits the gripper's torque as the description says."""

    @abstractmethod
    def _faults(self, answers: Answers) -> Mapping[int, tuple[str, ...]]:
        """Names of the faults by servo."""

    @abstractmethod
    def _velocity_rad_s(self, servo: int, values: Mapping[str, int]) -> float:
        """Velocity [rad/s], positive where steps grow."""

    @abstractmethod
    def _reading(
        self, servo: int, values: Mapping[str, int], faults: tuple[str, ...]
    ) -> ServoReading:
        """What a servo says of itself, in units."""

    def _measure(self, deadline_s: float) -> Answers:
        """All servos' measured registers; those that miss are asked again before deadline_s."""
        first, last = self.MEASURED
        answers = self._bus.sync_read(self.description.servos, first, last)
        _, size = self._table.block(first, last)
        left_s = deadline_s - self._bus.now_s()
        if not answers.silent or left_s < self._bus.wire_s(len(answers.silent), size):
            return answers
        again = self._bus.sync_read(answers.silent, first, last, wait_s=left_s)
        return Answers(
            {**answers.values, **again.values}, {**answers.errors, **again.errors}, again.silent
        )

    def _ask(
        self, first: str, last: str, servos: Sequence[int] | None = None
    ) -> dict[int, Mapping[str, int]]:
        """Reads a block of all servos, as often as it takes. Raises SilentServos."""
        left = tuple(self.description.servos if servos is None else servos)
        found: dict[int, Mapping[str, int]] = {}
        for more_s in _MORE_S:
            answers = self._bus.sync_read(left, first, last, more_s=more_s)
            found.update(answers.values)
            left = answers.silent
            if not left:
                return found
        self._refuse_silence(left)
        return found

    def _places(self) -> dict[int, int]:
        """Where every servo is [step], as two of its answers in a row say.

        A sum of 8 bits lets errors through, and torque that comes on with a wrong goal is a leap.
        Raises SilentServos, or ArmError for servos that never say the same twice.
        """
        left, before, found = self.description.servos, dict[int, int](), dict[int, int]()
        for _ in range(_LOOKS):
            for servo, values in self._ask("present_position", "present_position", left).items():
                place = values["present_position"]
                if servo in before and abs(place - before[servo]) <= _SAME_STEPS:
                    found[servo] = place
                before[servo] = place
            left = tuple(servo for servo in left if servo not in found)
            if not left:
                return found
        raise ArmError(
            f"servo {', '.join(map(str, left))} on {self._bus.port} is somewhere else in every"
            " answer",
            "a servo that stands, and a cable that changes nothing",
            "hold the arm still; check the cable and its screen",
        )

    def _set(self, register: str, values: Mapping[int, int]) -> None:
        """Writes one register of several servos until each reads as it should.

        Reaches all that can be reached. Raises SilentServos, or ArmError for a servo that
        answers but does not take the value.
        """
        left = dict(values)
        for more_s in _MORE_S:
            kept = self._write_once(register, left, more_s)
            left = {servo: value for servo, value in left.items() if servo not in kept}
            if not left:
                return
        self._refuse_silence(self._bus.sync_read(tuple(left), register, register).silent)
        raise self._refusal(register, tuple(left))

    def _write_once(self, register: str, values: Mapping[int, int], more_s: float) -> set[int]:
        """Writes one register of several servos and reads it back; those that have the value.

        Reading back also tells a servo that refuses from one that is silent, and needs no
        acknowledgements, which may be switched off.
        """
        if not values:
            return set()
        self._bus.sync_write(register, values)
        answers = self._bus.sync_read(tuple(values), register, register, more_s=more_s)
        return {servo for servo, held in answers.values.items() if held[register] == values[servo]}

    def _stores(self, servo: int, name: str, value: int) -> bool:
        """Writes one stored setting; whether the servo has it now."""
        self._bus.store(servo, name, value)
        return self._ask(name, name, [servo])[servo][name] == value

    def _refuse_silence(self, silent: Sequence[int]) -> None:
        if silent:
            raise silence(self._bus.port, silent)

    def _refusal(self, register: str, servos: Sequence[int]) -> ArmError:
        return refusal(self._bus.port, register, servos)
