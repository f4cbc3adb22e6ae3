"""What the servos' own readings say: faults, stalls, heat and voltage, judged over time."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from dreamvla_edge.runtime.arms.arm import ArmReading
from dreamvla_edge.runtime.arms.limits import ArmLimits

from .limits import Array

FAULT_CYCLES = 2
"""A fault bit must be seen so often in a row: one byte can be wrong."""
HEAT_CYCLES, VOLTAGE_CYCLES = 5, 20
"""The same for temperature, which changes slowly, and voltage, which sags for a moment."""
_HEAT, _VOLTAGE = "overheated", "voltage"


@dataclass(frozen=True)
class Verdict:
    """What to do: drop: lower the arm and take its torque, before it goes by itself; else hold.

    presses: the goal lies behind something that the arm cannot move, or somebody.
    """

    drop: bool
    text: str
    presses: bool = False


@dataclass(frozen=True)
class History:
    """For how many cycles, or since when [s], something is so; keys name what and where."""

    cycles: dict[str, int] = field(default_factory=dict)
    stalled_since_s: dict[int, float] = field(default_factory=dict)


def judge(
    limits: ArmLimits, names: tuple[str, ...], reading: ArmReading, sent: Array, history: History
) -> tuple[Verdict | None, History]:
    """The worst that these readings mean, and the history for the next cycle.

    names: of the servos, joints in order, then the gripper; sent (n,) [rad]: the goal of the
    joints when this was measured. A gripper that holds something stalls by design: its force is
    limited by its servo, so only its fault bits count.
    """
    conditions: dict[str, tuple[int, Verdict]] = {}
    for name, servo in zip(names, reading.servos, strict=True):
        for fault in servo.faults:
            if fault not in (_HEAT, _VOLTAGE):
                conditions[f"{name} {fault}"] = FAULT_CYCLES, Verdict(False, f"{name}: {fault}")
        if servo.temperature_c >= limits.temperature_c.stop or _HEAT in servo.faults:
            text = f"{name}: {servo.temperature_c:.0f} °C, allowed {limits.temperature_c.stop:.0f}"
            needed = FAULT_CYCLES if _HEAT in servo.faults else HEAT_CYCLES
            conditions[f"{name} heat"] = needed, Verdict(True, text)
        if servo.voltage_v < limits.voltage_v.min:
            text = f"{name}: {servo.voltage_v:.1f} V, needs {limits.voltage_v.min:.1f}"
            conditions[f"{name} low"] = VOLTAGE_CYCLES, Verdict(True, text)
        elif servo.voltage_v > limits.voltage_v.max or _VOLTAGE in servo.faults:
            text = f"{name}: voltage fault at {servo.voltage_v:.1f} V"
            conditions[f"{name} high"] = VOLTAGE_CYCLES, Verdict(False, text)
    cycles = {key: history.cycles.get(key, 0) + 1 for key in conditions}
    stalled = _stalled(limits, reading, sent, history)
    due = [verdict for key, (needed, verdict) in conditions.items() if cycles[key] >= needed]
    due += [
        Verdict(False, f"{names[joint]}: stalled", presses=True)
        for joint, since in stalled.items()
        if reading.stamp_s - since >= limits.stall.persistence_s
    ]
    # A stop that keeps the torque comes first only if nothing asks for the torque to go.
    worst = min(due, key=lambda verdict: not verdict.drop, default=None)
    return worst, History(cycles, stalled)


def _stalled(
    limits: ArmLimits, reading: ArmReading, sent: Array, history: History
) -> dict[int, float]:
    """Joints with current and position error, and since when [s]."""
    error = np.abs(sent - reading.joints)
    return {
        joint: history.stalled_since_s.get(joint, reading.stamp_s)
        for joint in range(len(sent))
        if error[joint] >= limits.stall.error_rad
        and abs(reading.servos[joint].current_a) >= limits.stall.current_a
    }
