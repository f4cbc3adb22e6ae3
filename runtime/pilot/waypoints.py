"""From a chunk of actions to absolute, time-stamped waypoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime import motion
from dreamvla_edge.runtime.arms.kinematics import Chain, forward
from dreamvla_edge.runtime.guardian.message import MAX_WAYPOINTS, Waypoint
from dreamvla_edge.runtime.specification import ActionSpecification


@dataclass(frozen=True, eq=False)
class Route:
    """Waypoints, and the most that inverse kinematics left over on the way [m], [rad]."""

    waypoints: tuple[Waypoint, ...]
    position_error_m: float
    orientation_error_rad: float


def route(
    specification: ActionSpecification,
    chain: Chain,
    actions: Sequence[NDArray[np.floating]],
    joints: NDArray[np.float64],
    gripper: float,
    origin_ns: int,
    period_s: float,
) -> Route:
    """Where the arm shall be after each of the executed actions (7,), one period apart.

    joints (n,) [rad], gripper: the anchor, where the arm was, or was sent, when it was observed;
    origin_ns: the first waypoint is one period after it, monotonic [ns]. Every further delta is
    added to the pose that the one before it led to; a message holds MAX_WAYPOINTS of them. Raises
    ActionError.
    """
    goal = motion.Goal(forward(chain, joints), np.asarray(joints, float), gripper)
    waypoints = []
    worst_m = worst_rad = 0.0
    for number, action in enumerate(actions[:MAX_WAYPOINTS], 1):
        goal = motion.advance(specification, chain, action, goal)
        worst_m = max(worst_m, goal.position_error_m)
        worst_rad = max(worst_rad, goal.orientation_error_rad)
        time_ns = origin_ns + round(number * period_s * 1e9)
        waypoints.append(Waypoint(time_ns, goal.joints, goal.gripper))
    return Route(tuple(waypoints), worst_m, worst_rad)
