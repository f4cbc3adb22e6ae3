"""Joint angles and gripper opening as servo positions, or a refusal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.arms.steps import steps_from_radians
from dreamvla_edge.runtime.errors import ArmError
from dreamvla_edge.runtime.rotation import Array


def goal_steps(
    description: ArmDescription, joints: Array, gripper: float, known: Sequence[Array] = ()
) -> dict[int, int]:
    """Servo id -> goal [step] for angles (n,) [rad] and an opening from 0 to 1.

    known: angles (n,) [rad] where the arm is or was told to be. A joint beyond its limits may be
    told to stay there, or on the way back, but never further out.
    Raises ArmError if a goal is not finite or out of its limits.
    """
    _refuse_bad_goals(description, joints, gripper, known)
    grip = description.gripper
    goals = {
        joint.servo: steps_from_radians(float(angle), joint.zero_step, joint.direction)
        for joint, angle in zip(description.joints, joints, strict=True)
    }
    travel = grip.open_step - grip.closed_step
    goals[grip.servo] = grip.closed_step + round(float(gripper) * travel)
    return goals


def _refuse_bad_goals(
    description: ArmDescription, joints: Array, gripper: float, known: Sequence[Array]
) -> None:
    goals = np.asarray(joints, float)
    if goals.shape != (len(description.joints),):
        raise ArmError(
            f"joint goals of shape {goals.shape}",
            f"{len(description.joints)} angles",
            "report this as a bug",
        )
    places = zip(*(angles.tolist() for angles in (*known, goals)), strict=True)
    limits = []
    for joint, (*before, goal) in zip(description.joints, places, strict=True):
        lower, upper = min([joint.lower_rad, *before]), max([joint.upper_rad, *before])
        limits.append((joint.name, lower, upper, goal))
    limits.append(("gripper", 0.0, 1.0, float(gripper)))
    # `not (a <= x <= b)` also refuses NaN.
    bad = [
        f"{name} = {goal:.4g}, allowed {lower:.4g} to {upper:.4g}"
        for name, lower, upper, goal in limits
        if not lower <= goal <= upper
    ]
    if bad:
        raise ArmError(
            f"goals that the arm must not take: {'; '.join(bad)}",
            "finite goals within the limits of the arm's description",
            "nothing was sent; report this as a bug",
        )
