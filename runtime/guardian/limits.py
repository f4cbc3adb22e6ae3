"""What the arm may be sent: finite, workspace, position, velocity, acceleration, wind-up.

Pure functions of one control period. The goal that is sent moves like a point with bounded velocity
and acceleration; limits of place bound the velocity so that it can always stop before them. A start
outside the limits is eased back: nothing may go further out. Order as in
`docs/guardian.md`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.arms.kinematics import chain_of, tool_position
from dreamvla_edge.runtime.errors import ArmError

from .message import MAX_JOINTS, Limit

Array = NDArray[np.float64]
GRIPPER_SPEED = 3.0
"""Fastest change of the gripper's opening [1/s]; its force is limited by the servo itself."""
_HALVINGS = 6  # of the velocity at the edge of the workspace, down to 2 % of it
_NUDGE_RAD = 1e-4  # by which the way out of the box is found
_MARGIN_M = 0.002
"""The workspace box is kept by so much more, for the curve between two joint positions."""


@dataclass(frozen=True, eq=False)
class Limits:
    """Bounds of one arm, per joint (n,).

    lower, upper [rad]; velocity [rad/s]; acceleration, stop_acceleration [rad/s²]: the latter
    where the goal must stop; windup [rad]: from the measured position to the goal; box: lowest
    and highest corner (3,) [m] of the tool point's workspace, or None; tool: joints (n,) → tool
    point (3,) [m].
    """

    lower: Array
    upper: Array
    velocity: Array
    acceleration: Array
    stop_acceleration: Array
    windup: Array
    box: tuple[Array, Array] | None
    tool: Callable[[Array], Array]


def limits_of(description: ArmDescription) -> Limits:
    """The bounds that an arm's description gives. Raises ArmError if it has too many joints."""
    if len(description.joints) > MAX_JOINTS:
        raise ArmError(
            f"{description.name} has {len(description.joints)} joints",
            f"at most {MAX_JOINTS}: a message to the guardian holds no more",
            "describe the arm without the joints that the policy does not move",
        )
    chain, own = chain_of(description), description.limits
    box = own.workspace_m
    return Limits(
        lower=chain.lower,
        upper=chain.upper,
        velocity=own.per_joint("velocity_rad_s", chain.names),
        acceleration=own.per_joint("acceleration_rad_s2", chain.names),
        stop_acceleration=own.per_joint("stop_acceleration_rad_s2", chain.names),
        windup=own.per_joint("windup_rad", chain.names),
        box=None if box is None else (np.array(box.min, float), np.array(box.max, float)),
        tool=tool_position(chain),
    )


@dataclass(frozen=True, eq=False)
class Motion:
    """The goal that was sent last: position (n,) [rad], velocity (n,) [rad/s], opening 0 to 1."""

    position: Array
    velocity: Array
    gripper: float


@dataclass(frozen=True, eq=False)
class Target:
    """Where the arm is wanted now: joints (n,) [rad], their velocity (n,) [rad/s], opening."""

    joints: Array
    velocity: Array
    gripper: float


class Acted(NamedTuple):
    """A limit that changed something, and the joint it acted on most (-1: all)."""

    limit: Limit
    joint: int


@dataclass(frozen=True, eq=False)
class Allowed:
    """What may be sent, and the limits that acted, in their order."""

    motion: Motion
    acted: tuple[Acted, ...]


def allow(
    limits: Limits, target: Target, last: Motion, measured: Array, period_s: float, speed: float
) -> Allowed:
    """The next goal towards a target.

    measured (n,) [rad]: where the arm is; speed: share of the velocity limits, 0 to 1.
    """
    if not _finite(target):
        return Allowed(brake(limits, last, period_s), (Acted(Limit.FINITE, -1),))
    joints = _clip(target.joints, limits.lower, limits.upper)
    wanted = _approach(limits, joints, target.velocity, last, period_s)
    top = limits.velocity * speed
    velocity = _clip(wanted, -top, top)
    slower = _accelerated(velocity, last.velocity, limits.acceleration, period_s)
    in_range, near = _stoppable(limits, slower, last, measured, period_s)
    acted = _acted(
        (Limit.POSITION, target.joints, joints),
        (Limit.POSITION, slower, in_range),
        (Limit.VELOCITY, wanted, velocity),
        (Limit.ACCELERATION, velocity, slower),
        (Limit.WINDUP, in_range, near),
    )
    inside = _in_workspace(limits, near, last, measured, period_s, top)
    if inside is not near:
        acted = (Acted(Limit.WORKSPACE, -1), *acted)
    gripper = _gripper(target.gripper, last.gripper, period_s)
    return Allowed(Motion(last.position + inside * period_s, inside, gripper), acted)


def brake(limits: Limits, last: Motion, period_s: float) -> Motion:
    """The next goal on the shortest way to a stand; the gripper keeps its goal and its grip."""
    velocity = _accelerated(
        np.zeros_like(last.velocity), last.velocity, limits.stop_acceleration, period_s
    )
    return Motion(last.position + velocity * period_s, velocity, last.gripper)


def stop_speed(distance: Array, acceleration: Array, period_s: float) -> Array:
    """Highest speed [rad/s] from which a goal stops within a distance (…, n) [rad], step by step.

    k steps of falling speed k·a·T, …, a·T cover k(k+1)/2·a·T²; solved for k. A share of a step
    more costs up to a·T²/8, which is taken off before.
    """
    room = np.maximum(distance - acceleration * period_s**2 / 8, 0.0)
    steps = np.sqrt(0.25 + 2 * room / (acceleration * period_s**2)) - 0.5
    speed: Array = acceleration * period_s * steps
    return speed


def outside(limits: Limits, joints: Array) -> float:
    """How far the tool point is outside the workspace box [m]; 0 inside or without a box."""
    if limits.box is None:
        return 0.0
    tool = limits.tool(joints)
    low, high = limits.box
    return math.dist(tool, _clip(tool, low + _MARGIN_M, high - _MARGIN_M))


def _finite(target: Target) -> bool:
    return bool(
        np.isfinite(target.joints).all()
        and np.isfinite(target.velocity).all()
        and np.isfinite(target.gripper)
    )


def _approach(
    limits: Limits, joints: Array, target_velocity: Array, last: Motion, period_s: float
) -> Array:
    """The target's own velocity, plus what closes the distance to it without overshoot."""
    distance = joints - last.position
    closing = np.minimum(
        stop_speed(np.abs(distance), limits.acceleration, period_s), np.abs(distance) / period_s
    )
    # A target that stands at a limit of place has no velocity of its own there.
    moving = np.where((joints > limits.lower) & (joints < limits.upper), target_velocity, 0.0)
    wanted: Array = moving + np.sign(distance) * closing
    return wanted


def _accelerated(velocity: Array, last: Array, acceleration: Array, period_s: float) -> Array:
    step = acceleration * period_s
    return _clip(velocity, last - step, last + step)


def _stoppable(
    limits: Limits, velocity: Array, last: Motion, measured: Array, period_s: float
) -> tuple[Array, Array]:
    """Velocities from which the goal can stop: within its range; and within reach of the arm too.

    Outside of a place the goal goes no further out. The change is never harder than the stop
    acceleration, also where a place moves.
    """
    at, hardest = last.position, limits.stop_acceleration
    room = np.array(
        [
            *(limits.upper - at, at - limits.lower),
            *(measured + limits.windup - at, at - measured + limits.windup),
        ]
    )
    up, down, away, back = stop_speed(room, hardest, period_s)
    in_range = _accelerated(_clip(velocity, -down, up), last.velocity, hardest, period_s)
    near = _accelerated(_clip(in_range, -back, away), last.velocity, hardest, period_s)
    return in_range, near


def _in_workspace(
    limits: Limits, velocity: Array, last: Motion, measured: Array, period_s: float, top: Array
) -> Array:
    """A velocity that can stop inside the box: this one, or what is left of it along the walls.

    Of that the largest share, from braking up to all of it. Outside the box it may not stop
    further outside than the goal is now. top (n,) [rad/s]: limits of velocity in force.
    """
    if limits.box is None or not _leaves(limits, velocity, last, period_s):
        return velocity
    braked = brake(limits, last, period_s).velocity
    along = _along_walls(limits, velocity, last, period_s, top)
    _, along = _stoppable(limits, along, last, measured, period_s)
    if not _leaves(limits, along, last, period_s):
        return along
    none, all_ = 0.0, 1.0
    for _ in range(_HALVINGS):
        share = (none + all_) / 2
        if _leaves(limits, braked + share * (along - braked), last, period_s):
            all_ = share
        else:
            none = share
    kept: Array = braked + none * (along - braked)
    return kept


def _along_walls(
    limits: Limits, velocity: Array, last: Motion, period_s: float, top: Array
) -> Array:
    """The nearest velocity that leads no further out of the box, slower if it has to be.

    Without it a goal at a wall would stand there for as long as the straight way of the joints
    to a target inside leads outside.
    """
    there = last.position + _stopping_way(limits, velocity, period_s)
    here = outside(limits, there)
    outwards = np.array(
        [outside(limits, there + _NUDGE_RAD * joint) - here for joint in np.eye(len(there))]
    )
    length = float(outwards @ outwards)
    if length < 1e-18:
        return velocity
    along = velocity - max(float(outwards @ velocity), 0.0) / length * outwards
    slower: Array = along / max(1.0, float(np.max(np.abs(along) / top)))
    return slower


def _leaves(limits: Limits, velocity: Array, last: Motion, period_s: float) -> bool:
    """Whether the next place, or that where this velocity could stop, is further out than now."""
    ways = velocity * period_s, _stopping_way(limits, velocity, period_s)
    there = max(outside(limits, last.position + way) for way in ways)
    return there > 0.0 and there > outside(limits, last.position)


def _stopping_way(limits: Limits, velocity: Array, period_s: float) -> Array:
    """How far a goal goes at least that takes this velocity now (n,) [rad]."""
    way: Array = velocity * period_s + velocity * np.abs(velocity) / (2 * limits.stop_acceleration)
    return way


def _gripper(wanted: float, last: float, period_s: float) -> float:
    step = GRIPPER_SPEED * period_s
    return min(max(min(max(wanted, 0.0), 1.0), last - step), last + step)


def _acted(*changes: tuple[Limit, Array, Array]) -> tuple[Acted, ...]:
    """Limits that changed something worth a note, and the joint each changed most.

    changes: the limit, what it was given and what it made of it.
    """
    change = np.abs(np.array([after - before for _, before, after in changes]))
    most = change.argmax(axis=1).tolist()
    return tuple(
        Acted(limit, joint)
        for (limit, *_), joint, row in zip(changes, most, change.tolist(), strict=True)
        if row[joint] > 1e-9
    )


def _clip(values: Array, low: Array, high: Array) -> Array:
    """As np.clip, at a third of the time for a few joints."""
    clipped: Array = np.minimum(np.maximum(values, low), high)
    return clipped
