"""From the network's numbers to joint goals, and from an arm's reading to the network's state.

Pure functions: no I/O, no clock. All poses are in the arm's base frame.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.arms.arm import ArmReading
from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.arms.kinematics import Chain, Pose, forward, inverse
from dreamvla_edge.runtime.errors import ActionError, ArmError
from dreamvla_edge.runtime.rotation import (
    Array,
    euler_from_matrix,
    matrix_from_axis_angle,
    matrix_from_euler,
)
from dreamvla_edge.runtime.specification import (
    UNUSED,
    ActionSpecification,
    Dimension,
    GripperCommand,
    Specification,
    StateSpecification,
)

# Of either descent, which a control step's change needs 3 to 10 of. More would bring an arm nearer
# to what is far out of its reach, but so does the next step, and the arm waits for this one.
_ITERATIONS = 12
# Dimensions of a state that are not joints: tool position [m] and fixed-axis angles [rad].
_POSE = ("x", "y", "z", "roll", "pitch", "yaw")


@dataclass(frozen=True, eq=False)
class Goal:
    """Where the arm shall be.

    pose: what was asked for, the anchor of the next delta; joints (n,) [rad]: the nearest that
    the arm can do; gripper: 0 closed to 1 open; the errors [m], [rad] between pose and joints.
    A target outside the reach keeps growing away from the arm: watch position_error_m.
    """

    pose: Pose
    joints: Array
    gripper: float
    position_error_m: float = 0.0
    orientation_error_rad: float = 0.0


def require_fit(specification: Specification, chain: Chain) -> None:
    """Raises ArmError if an action or a state names something that the arm does not have."""
    used = {d.name for d in specification.state.dimensions} - set(_POSE)
    if specification.action.kind != "delta_pose":
        used |= {d.name for d in specification.action.dimensions}
    unknown = sorted(used - set(chain.names) - {UNUSED})
    if unknown:
        raise ArmError(
            f"the data set {specification.name!r} uses {', '.join(unknown)}",
            f"joints of this arm ({', '.join(chain.names)}), {', '.join(_POSE)} or {UNUSED}",
            "use a checkpoint that was trained for this arm, or another arm",
        )


def measured(chain: Chain, reading: ArmReading) -> Goal:
    """The goal of staying where the arm is: the first anchor, and every one when it is measured."""
    joints = np.clip(reading.joints, chain.lower, chain.upper)
    return Goal(forward(chain, reading.joints), joints, reading.gripper)


def advance(
    specification: ActionSpecification, chain: Chain, action: NDArray[np.floating], anchor: Goal
) -> Goal:
    """The goal after one executed action (7,): six arm values and the gripper, ±1.

    anchor: the last goal or the measured one, as `specification.anchor` says.
    Raises ActionError if a number of the action or of what follows from it is not finite.
    """
    numbers = np.asarray(action, float)
    if numbers.shape != (7,) or not np.isfinite(numbers).all():
        raise _refusal(f"an action of shape {numbers.shape}: {numbers.tolist()}")
    limit = math.inf if specification.clip is None else specification.clip
    values = _physical(specification.dimensions, numbers[:6].clip(-limit, limit))
    gripper = gripper_opening(specification.gripper, float(numbers[6]))
    if specification.kind == "delta_pose":
        pose = _moved(specification, anchor.pose, values)
        return _reach(chain, pose, anchor.joints, gripper)
    joints = anchor.joints.copy()
    for dimension, value in zip(specification.dimensions, values, strict=True):
        if dimension.name != UNUSED:
            i = chain.names.index(dimension.name)
            joints[i] = value + (joints[i] if specification.kind == "delta_joints" else 0.0)
    if not np.isfinite(joints).all():
        raise _refusal(f"joint goals of {joints.tolist()}")
    joints = np.clip(joints, chain.lower, chain.upper)
    return Goal(forward(chain, joints), joints, gripper)


def gripper_opening(command: GripperCommand, executed: float) -> float:
    """Opening (0 closed, 1 open) that an executed gripper value (+1 upper, -1 lower) asks for."""
    return float((executed > 0) == (command.upper_means == "open"))


def gripper_command(command: GripperCommand, opening: float) -> float:
    """The executed value (+1 upper, -1 lower) that would have led to this opening."""
    return 1.0 if (opening >= 0.5) == (command.upper_means == "open") else -1.0


def state_vector(
    specification: StateSpecification,
    description: ArmDescription,
    chain: Chain,
    reading: ArmReading,
    command: float,
) -> NDArray[np.float32]:
    """The raw state (7,) or (8,) as `Policy.act` takes it: six arm values, then the gripper.

    The dimensions' names choose the values: x y z [m] and roll pitch yaw [rad] of the tool, a
    joint's angle [rad], or the offset of an `unused` one, which the network sees as 0.
    command: last executed gripper value (+1 or -1); two fingers are (+, −) the distance [m] of
    each from closed, as in LIBERO.
    """
    pose = forward(chain, reading.joints)
    known = dict(zip(_POSE, (*pose.position, *euler_from_matrix(pose.rotation)), strict=True))
    known |= dict(zip(chain.names, reading.joints, strict=True))
    arm = [d.offset if d.name == UNUSED else known[d.name] for d in specification.dimensions]
    travel = reading.gripper * description.gripper.finger_travel_m
    gripper = [command] if specification.gripper == "command" else [travel, -travel]
    return np.array([*arm, *gripper], np.float32)


def _physical(dimensions: Sequence[Dimension], numbers: Array) -> Array:
    """Values v = scale · x + offset [m or rad]; 0 where unused."""
    return np.array(
        [
            0.0 if d.name == UNUSED else d.scale * x + d.offset
            for d, x in zip(dimensions, numbers, strict=True)
        ]
    )


def _moved(specification: ActionSpecification, pose: Pose, delta: Array) -> Pose:
    """The pose after a tool translation delta[:3] [m] and rotation delta[3:] [rad].

    In the tool frame the present orientation is zero, so there the Euler angles to be added are
    the new ones, and both rotation forms act from the right. In the world frame the angles are
    taken anew from the pose, so a pitch beyond ±π/2 is not integrated as CALVIN's simulator does.
    """
    move, turn = delta[:3], delta[3:]
    euler = specification.rotation == "euler_add"
    if specification.frame == "tool":
        by = matrix_from_euler(turn) if euler else matrix_from_axis_angle(turn)
        return Pose(pose.position + pose.rotation @ move, pose.rotation @ by)
    if euler:
        rotation = matrix_from_euler(euler_from_matrix(pose.rotation) + turn)
    else:
        rotation = matrix_from_axis_angle(turn) @ pose.rotation
    return Pose(pose.position + move, rotation)


def _reach(chain: Chain, pose: Pose, start: Array, gripper: float) -> Goal:
    """The goal whose joints come nearest to the pose."""
    if not all(np.isfinite(part).all() for part in (pose.position, pose.rotation, start)):
        raise _refusal(f"a tool position of {pose.position.tolist()}")
    found = inverse(chain, pose, start, _ITERATIONS)
    return Goal(pose, found.joints, gripper, found.position_error_m, found.orientation_error_rad)


def _refusal(found: str) -> ActionError:
    return ActionError(
        found,
        "seven finite numbers that give a finite goal",
        "nothing was sent; check scale and offset in the bundle's action specification",
    )
