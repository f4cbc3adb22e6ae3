"""Calibration from a motion by hand: ends and middle of every servo's range. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.arms.description import ArmDescription, Calibration
from dreamvla_edge.runtime.arms.steps import STEP_RAD, STEPS_PER_TURN
from dreamvla_edge.runtime.errors import ArmError

ENOUGH = 0.85
"""Share of a joint's range by its description that the hand must have covered."""
FREE = 0.95
"""Share of a turn from which on a joint's range by its description is one without ends."""
_MIDDLE = STEPS_PER_TURN // 2


class Homing(NamedTuple):
    """present = actual + sign · offset, both modulo one turn; |offset| is at most `most`."""

    sign: int
    most: int


# Feetech: sign and magnitude in 12 bits. Dynamixel: in position control mode the servo takes 90°
# to either side (ROBOTIS e-manual, Homing Offset).
HOMING: Mapping[str, Homing] = {"feetech": Homing(-1, 2047), "dynamixel": Homing(1, 1023)}


def parts(description: ArmDescription) -> dict[str, int]:
    """Name of every joint, then `gripper` → id of its servo."""
    names = [joint.name for joint in description.joints]
    return dict(zip((*names, "gripper"), description.servos, strict=True))


def calibration_of(
    present: Sequence[int], stored: int, homing: Homing, free: bool = False
) -> Calibration:
    """The calibration of one servo that was turned from end to end.

    present: reported positions [step], the first one in the middle of the range, close enough
    together that no step between two of them is half a turn; stored: the homing offset in force.
    The new offset puts the middle between the ends as near to step 2048 as the servo allows, so
    that the range does not cross the seam of the turn. free: the joint has no ends, as is seen
    when it was turned a whole turn; its middle is the first position. Raises ValueError if the
    range cannot be kept off the seam.
    """
    track = np.unwrap(np.asarray(present, float), period=STEPS_PER_TURN)
    low, high = int(track.min()), int(track.max())
    free = free or high - low >= STEPS_PER_TURN - 1
    middle = int(track[0]) if free else (low + high) // 2
    actual = middle - homing.sign * stored
    wanted = (homing.sign * (_MIDDLE - actual) + _MIDDLE) % STEPS_PER_TURN - _MIDDLE
    offset = max(-homing.most, min(homing.most, wanted))
    if free:
        return Calibration(offset, 0, STEPS_PER_TURN - 1)
    moved = (actual + homing.sign * offset) % STEPS_PER_TURN - middle
    return Calibration(offset, low + moved, high + moved)


def calibrations(
    description: ArmDescription, present: NDArray[np.integer], stored: Mapping[int, int]
) -> dict[str, Calibration]:
    """The calibration of every joint and the gripper by name.

    present (t, n): positions [step] of the servos in the order of the description, as for
    `calibration_of`; stored: servo id → homing offset in force.
    Raises ArmError naming the joints that were not moved far enough, or cannot be calibrated.
    """
    homing = HOMING[description.protocol]
    found: dict[str, Calibration] = {}
    wrong: list[str] = []
    ranges = _ranges(description)
    for column, (name, servo) in enumerate(parts(description).items()):
        moved = int(np.ptp(np.unwrap(present[:, column].astype(float), period=STEPS_PER_TURN)))
        free = ranges[name] >= FREE * STEPS_PER_TURN
        if moved < ENOUGH * ranges[name] and not free:
            wrong.append(
                f"{name} was moved {np.degrees(moved * STEP_RAD):.0f}° of"
                f" {np.degrees(ranges[name] * STEP_RAD):.0f}°"
            )
            continue
        try:
            track = present[:, column].tolist()
            found[name] = calibration_of(track, stored[servo], homing, free)
        except ValueError:
            wrong.append(f"{name} crosses the seam of its servo's turn")
    if wrong:
        raise ArmError(
            "; ".join(wrong),
            f"every joint moved from one end to the other, at least {ENOUGH:.0%} of its range",
            "calibrate again and move each joint to both ends; where a servo's horn sits so that"
            " the seam lies in the range, take it off and put it back with the joint in its middle",
        )
    return found


def _ranges(description: ArmDescription) -> dict[str, float]:
    """Range of every joint and the gripper by the description [step]."""
    gripper = abs(description.gripper.open_step - description.gripper.closed_step)
    joints = {j.name: (j.upper_rad - j.lower_rad) / STEP_RAD for j in description.joints}
    return {**joints, "gripper": gripper}
