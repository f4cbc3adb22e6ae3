"""Servo steps and joint angles: Feetech STS and Dynamixel X both count 4096 steps per turn."""

from __future__ import annotations

import math

STEPS_PER_TURN = 4096
STEP_RAD = 2 * math.pi / STEPS_PER_TURN


def radians_from_steps(steps: int, zero_step: int, direction: int) -> float:
    """Joint angle [rad] of a servo position [step]; direction is +1 or -1."""
    return direction * (steps - zero_step) * STEP_RAD


def steps_from_radians(angle: float, zero_step: int, direction: int) -> int:
    """Servo position [step] next to a joint angle [rad]. Raises ValueError if not finite."""
    if not math.isfinite(angle):
        raise ValueError(f"a joint angle must be finite, not {angle}")
    return zero_step + round(direction * angle * STEPS_PER_TURN / (2 * math.pi))
