"""The goal that is sent: from where the arm was taken over, within the limits, to a stand."""

from __future__ import annotations

import time

import numpy as np

from dreamvla_edge.runtime.clock import Clock

from .guarded_arm import GuardedArm, Place
from .limits import Acted, Limits, Motion, Target, allow, brake

_STANDS_RAD_S = 1e-6


class Mover:
    """Moves an arm's goal, one control period [s] at a time.

    shadow: goals move but are not sent. motion: what was sent last, NaN before the arm is taken
    over. Since `begin`: acted, the limits that acted; sent_ns, when a goal was about to be sent,
    or would have been, monotonic [ns], else 0; written, whether it was.
    """

    def __init__(
        self,
        arm: GuardedArm,
        limits: Limits,
        period_s: float,
        shadow: bool,
        clock: Clock = time,
    ) -> None:
        self._arm, self._limits, self._period_s, self._shadow = arm, limits, period_s, shadow
        self._clock = clock
        nowhere = np.full_like(limits.lower, np.nan)
        self._nowhere = Motion(nowhere, np.zeros_like(nowhere), np.nan)
        self.motion = self._nowhere
        self.acted: tuple[Acted, ...] = ()
        self.written = False
        self.sent_ns = 0

    @property
    def has_arm(self) -> bool:
        """Whether the arm was taken over."""
        return self.motion is not self._nowhere

    @property
    def moves(self) -> bool:
        """Whether the goal is on its way."""
        return bool(np.abs(self.motion.velocity).max() > _STANDS_RAD_S)

    def begin(self) -> None:
        """A new period."""
        self.acted, self.written, self.sent_ns = (), False, 0

    def take_over(self, place: Place) -> None:
        """The goal is where the arm is, and stands."""
        self.motion = Motion(place.joints, np.zeros_like(place.joints), place.gripper)

    def forget(self) -> None:
        """The arm is somebody else's, or nobody's."""
        self.motion = self._nowhere

    def move(self, target: Target, speed: float) -> None:
        """One step towards a target; speed: share of the velocity limits."""
        believed = self._arm.believed
        measured = self.motion.position if believed is None else believed.joints
        allowed = allow(self._limits, target, self.motion, measured, self._period_s, speed)
        self.acted = allowed.acted
        self._send(allowed.motion)

    def brake(self) -> None:
        """One step on the shortest way to a stand."""
        self._send(brake(self._limits, self.motion, self._period_s))

    def _send(self, motion: Motion) -> None:
        """Only what was sent counts as the last motion."""
        self.sent_ns = self._clock.monotonic_ns()
        if not self._shadow:
            self._arm.write(motion)
            self.written = True
        self.motion = motion
