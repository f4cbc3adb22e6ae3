"""The rhythm of a source that has none of its own."""

from __future__ import annotations

import math
import time


class Pace:
    """Due times rate_hz apart; those that a slow caller misses are skipped, never made up."""

    def __init__(self, rate_hz: float) -> None:
        self._period_s, self._due_s = 1 / rate_hz, time.monotonic()

    def wait(self) -> float:
        """Sleeps until the next frame is due; the monotonic time [s] after that."""
        now_s = time.monotonic()
        if now_s < self._due_s:
            time.sleep(self._due_s - now_s)
        missed = math.floor(max(0.0, now_s - self._due_s) / self._period_s)
        self._due_s += (missed + 1) * self._period_s
        return time.monotonic()
