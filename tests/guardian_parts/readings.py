"""Readings of a made-up arm."""

from __future__ import annotations

import numpy as np

from dreamvla_edge.runtime.arms.arm import ArmReading, ServoReading

FINE = ServoReading(load=0.1, current_a=0.1, voltage_v=7.4, temperature_c=30.0)


def reading(
    joints: list[float] | np.ndarray,
    stamp_s: float = 0.0,
    gripper: float = 0.5,
    servos: dict[int, ServoReading] | None = None,
) -> ArmReading:
    """Angles [rad]; servos that are not `FINE` by place, the gripper's behind the joints'."""
    angles = np.asarray(joints, float)
    own = servos or {}
    return ArmReading(
        joints=angles,
        velocity=np.zeros_like(angles),
        gripper=gripper,
        stamp_s=stamp_s,
        servos=tuple(own.get(place, FINE) for place in range(len(angles) + 1)),
    )
