"""How one run wants its arm guarded."""

from __future__ import annotations

from dataclasses import dataclass

from .limits import Array
from .message import State

RAMP_S, RAMP_FROM = 1.0, 0.1
"""From a stand to full speed: the first second of a motion is slow enough to be stopped."""
LOWER_SPEED = 0.3
"""Share of the velocity limits while the arm is lowered."""


@dataclass(frozen=True, eq=False)
class Settings:
    """What a person chose.

    speed: share of the velocity limits; shadow: nothing is sent, torque stays as it is; limp: at
    the end lower and go limp instead of holding; rest: angles (n,) [rad] for lowering, None for
    the pose in which the arm was found; realtime: bits of what Linux granted.
    """

    rate_hz: float = 100.0
    speed: float = 1.0
    shadow: bool = False
    limp: bool = False
    rest: Array | None = None
    realtime: int = 0

    def share(self, state: State, for_s: float) -> float:
        """Share of the velocity limits in force after so long [s] in a state."""
        if state is State.LOWER:
            return min(LOWER_SPEED, self.speed)
        if state is State.RAMP:
            return self.speed * min(max(for_s / RAMP_S, RAMP_FROM), 1.0)
        return self.speed
