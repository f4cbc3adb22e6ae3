"""Whether a reading can be true: an 8-bit sum lets compensating errors through."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dreamvla_edge.runtime.arms.arm import ArmReading

from .limits import Array

FASTEST_RAD_S = 8.0
"""No joint is faster: an STS3215 reaches 4.8 rad/s without load; a push by hand adds to it."""
NOISE_RAD = 0.02
"""What a position may differ by itself: backlash and a dozen steps of the encoder."""
FASTEST_GRIPPER = 5.0
"""Most that the opening changes [1/s]."""
VOLTAGE_V = (3.0, 30.0)
TEMPERATURE_C = (-20.0, 120.0)


@dataclass(frozen=True)
class Doubt:
    """Why a reading is not believed, for people."""

    text: str


def doubt(
    reading: ArmReading,
    believed: ArmReading | None,
    lower: Array,
    upper: Array,
) -> Doubt | None:
    """Compares a reading with the last one that was believed; None: it can be true.

    lower, upper (n,) [rad]: ends of the servos' turn, which no true position leaves. The longer
    the last believed reading is ago, the more may have changed.
    """
    joints: list[float] = reading.joints.tolist()
    if not all(map(math.isfinite, (*joints, *reading.velocity.tolist(), reading.gripper))):
        return Doubt("a number is not finite")
    for joint, (angle, low, high) in enumerate(
        zip(joints, lower.tolist(), upper.tolist(), strict=True), 1
    ):
        if not low <= angle <= high:
            return Doubt(f"joint {joint} at {angle:.2f} rad, outside its servo's turn")
    for servo, state in enumerate(reading.servos, 1):
        if not VOLTAGE_V[0] <= state.voltage_v <= VOLTAGE_V[1]:
            return Doubt(f"servo {servo} at {state.voltage_v:.1f} V")
        if not TEMPERATURE_C[0] <= state.temperature_c <= TEMPERATURE_C[1]:
            return Doubt(f"servo {servo} at {state.temperature_c:.0f} °C")
    if believed is None:
        return None
    duration_s = max(reading.stamp_s - believed.stamp_s, 0.0)
    leap = np.abs(reading.joints - believed.joints)
    joint = int(leap.argmax())
    if leap[joint] > FASTEST_RAD_S * duration_s + NOISE_RAD:
        return Doubt(f"joint {joint + 1} leapt by {leap[joint]:.2f} rad in {duration_s:.3f} s")
    if abs(reading.gripper - believed.gripper) > FASTEST_GRIPPER * duration_s + 0.05:
        return Doubt("the gripper leapt")
    return None
