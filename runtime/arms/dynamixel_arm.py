"""The driver of every arm of Dynamixel X servos (protocol 2) whose description says the rest."""

from __future__ import annotations

from collections.abc import Mapping

from dreamvla_edge.runtime.arms import dynamixel
from dreamvla_edge.runtime.arms.arm import ServoReading
from dreamvla_edge.runtime.arms.bus import Answers, Line
from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.arms.servo_arm import ServoArm
from dreamvla_edge.runtime.errors import ArmError
from dreamvla_edge.runtime.rotation import Array

WATCHDOG = 5
"""Setting of the bus watchdog: 100 ms without any packet on the bus."""

_EXPIRED = -1
_CURRENT_BASED_POSITION = 5


class DynamixelArm(ServoArm):
    """An `Arm` of Dynamixel X servos.

    `enable` arms their bus watchdog: if this process dies or stalls for 100 ms, every servo stops
    by itself, torque on, and takes no goal before `enable` is called again. `read` reports
    the fault `bus watchdog`. `release` switches it off with the torque; `close` leaves it running.
    Raises ArmError for a model that `dynamixel.MODELS` does not know.
    """

    # Contiguous: indirect addresses would be one register shorter, but a servo that has lost its
    # supply for a moment forgets them and would answer with other registers' values.
    MEASURED = ("present_current", "present_temperature")
    BLOCKS = (
        ("model", "shutdown"),
        ("torque_enable", "goal_position"),
        ("realtime_tick", "present_temperature"),
    )
    POSITION_MODE = 3

    def __init__(
        self,
        description: ArmDescription,
        port: str | Line,
        cycle_s: float = 0.01,
        latency_s: float | None = None,
    ) -> None:
        unknown = sorted(set(description.models.values()) - dynamixel.MODELS.keys())
        if unknown:
            raise ArmError(
                f"{description.name} has Dynamixel servos of model {', '.join(map(str, unknown))}",
                f"one of {', '.join(map(str, dynamixel.MODELS))}",
                "correct the description, or add the model to runtime/arms/dynamixel.py",
            )
        super().__init__(dynamixel, description, port, cycle_s, latency_s)
        self._may_have_expired = True  # a program before this one may have let them

    def write(self, joints: Array, gripper: float) -> None:
        """Sends goals; servos whose watchdog has expired ignore them. See `Arm.write`."""
        self._note_pause()
        super().write(joints, gripper)

    def enable(self) -> None:
        """Torque on without a motion, then the watchdogs; see `Arm.enable`."""
        super().enable()
        self._set("bus_watchdog", dict.fromkeys(self.description.servos, WATCHDOG))
        self._may_have_expired = False

    def release(self) -> None:
        """Watchdogs off and torque off, faults or not; see `Arm.release`."""
        self._bus.sync_write("bus_watchdog", dict.fromkeys(self.description.servos, 0))
        super().release()

    def _settings(self, servo: int) -> Mapping[str, int]:
        # A reversed servo, or one that a goal switches on, is not what the description means.
        return {**super()._settings(servo), "drive_mode": 0}

    def _accept_goals(self) -> None:
        self._set("bus_watchdog", dict.fromkeys(self.description.servos, 0))

    def _limit_grip(self) -> None:
        gripper = self.description.gripper
        limits = self._ask("pwm_limit", "current_limit", [gripper.servo])[gripper.servo]
        kind = "current" if gripper.operating_mode == _CURRENT_BASED_POSITION else "pwm"
        limit = round(gripper.torque_limit * limits[f"{kind}_limit"])
        self._set(f"goal_{kind}", {gripper.servo: limit})

    def _measure(self, deadline_s: float) -> Answers:
        self._note_pause()
        return super()._measure(deadline_s)

    def _note_pause(self) -> None:
        """A bus that was quiet for nearly as long as the watchdogs wait may have woken them."""
        pause_s = self._bus.now_s() - self._bus.last_sent_s
        self._may_have_expired |= pause_s > 0.8 * WATCHDOG * dynamixel.WATCHDOG_S

    def _faults(self, answers: Answers) -> Mapping[int, tuple[str, ...]]:
        # Measured values say nothing of faults. A second, short question goes to the servos that
        # raise an alert, and to all of them when the bus was quiet.
        faults: dict[int, tuple[str, ...]] = {
            servo: (f"unknown fault {dynamixel.ALERT}",)
            for servo, error in answers.errors.items()
            if error & dynamixel.ALERT
        }
        asked = tuple(answers.values) if self._may_have_expired else tuple(faults)
        if not asked:
            return {}
        more = self._bus.sync_read(asked, "hardware_error", "bus_watchdog")
        expired = {s for s, v in more.values.items() if v["bus_watchdog"] == _EXPIRED}
        for servo, values in more.values.items():
            faults[servo] = dynamixel.fault_names(values["hardware_error"])
            faults[servo] += ("bus watchdog",) if servo in expired else ()
        self._may_have_expired &= bool(expired or more.silent)
        return faults

    def _velocity_rad_s(self, servo: int, values: Mapping[str, int]) -> float:
        return values["present_velocity"] * dynamixel.VELOCITY_RAD_S

    def _reading(
        self, servo: int, values: Mapping[str, int], faults: tuple[str, ...]
    ) -> ServoReading:
        model = dynamixel.MODELS[self.description.models[servo]]
        if model.current_a is None:
            load = values["present_current"] / 1000
        else:
            load = values["present_current"] * model.current_a / model.stall_a
        return ServoReading(
            load=load,
            current_a=abs(load) * model.stall_a,
            voltage_v=values["present_voltage"] / 10,
            temperature_c=float(values["present_temperature"]),
            faults=faults,
        )
