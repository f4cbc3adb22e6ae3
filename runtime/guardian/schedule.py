"""Absolute deadlines on the monotonic clock."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Deadlines start_s + tick · period_s [s, monotonic], tick = 0, 1, 2, …"""

    start_s: float
    period_s: float

    def deadline(self, tick: int) -> float:
        """When the tick is due."""
        return self.start_s + tick * self.period_s

    def next_tick(self, tick: int, now_s: float) -> int:
        """The first tick after `tick` that is not past: missed ones are skipped, never made up."""
        return max(tick + 1, math.ceil((now_s - self.start_s) / self.period_s))
