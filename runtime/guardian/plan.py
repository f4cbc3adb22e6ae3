"""Where the policy wants the arm, as a function of time: waypoints and what lies between."""

from __future__ import annotations

import bisect
from dataclasses import dataclass

import numpy as np

from .limits import Array, Target
from .message import Waypoint

HORIZON_S = 10.0
"""A waypoint further ahead is a mistake in the clock, not a plan."""


class PlanError(ValueError):
    """Waypoints that cannot be followed; the message says why."""


@dataclass(frozen=True, eq=False)
class Plan:
    """Knots in time: times (m,) [s, monotonic] rising, joints (m, n) [rad], gripper (m,).

    The first knot is where the goal was when the plan was made.
    """

    times_s: tuple[float, ...]
    joints: Array
    gripper: Array

    @property
    def end_s(self) -> float:
        """When the last waypoint is reached [s, monotonic]."""
        return self.times_s[-1]

    def at(self, now_s: float) -> Target | None:
        """The target at a time, straight lines between knots; None when the last one has passed.

        The gripper is asked for the opening of the next waypoint at once: it is a command, not a
        path. Velocity: of the line.
        """
        after = bisect.bisect_right(self.times_s, now_s)
        if after == len(self.times_s):
            return None
        after = max(after, 1)
        before = after - 1
        duration = self.times_s[after] - self.times_s[before]
        velocity = (self.joints[after] - self.joints[before]) / duration
        share = max(now_s - self.times_s[before], 0.0)
        return Target(self.joints[before] + velocity * share, velocity, float(self.gripper[after]))


def make_plan(waypoints: tuple[Waypoint, ...], now_s: float, start: Array) -> Plan:
    """A plan from the joints `start` (n,) now through the waypoints that have not passed.

    Raises PlanError if none is left, a number is not finite, times do not rise or lie more than
    HORIZON_S ahead, or the number of joints differs.
    """
    times = np.array([waypoint.time_ns / 1e9 for waypoint in waypoints])
    if any(waypoint.joints.shape != start.shape for waypoint in waypoints):
        raise PlanError(f"waypoints need {len(start)} joints")
    joints = np.array([waypoint.joints for waypoint in waypoints]).reshape(-1, len(start))
    gripper = np.array([waypoint.gripper for waypoint in waypoints])
    if not (np.isfinite(joints).all() and np.isfinite(gripper).all()):
        raise PlanError("a waypoint is not finite")
    if (np.diff(times) <= 0).any():
        raise PlanError("the times of the waypoints do not rise")
    if (times > now_s + HORIZON_S).any():
        raise PlanError(f"a waypoint is more than {HORIZON_S:g} s ahead")
    ahead = times > now_s
    if not ahead.any():
        raise PlanError("all waypoints have passed")
    return Plan(
        (now_s, *times[ahead].tolist()),
        np.vstack([start, joints[ahead]]),
        np.concatenate([gripper[ahead][:1], gripper[ahead]]),
    )
