"""When the policy decides, and for which moments it needs pictures."""

from __future__ import annotations

from collections import deque

import numpy as np

from dreamvla_edge.runtime.cameras.history import steps_due
from dreamvla_edge.runtime.guardian.plan import HORIZON_S

from .time_base import SPARE, TimeBase

_RECENT = 20
_TOO_SLOW = 5  # so many steps in a row, not one hiccup


class Pace:
    """The steps of a run on the monotonic clock [s].

    Real time has a grid of steps that no delay shifts: steps that were missed are looked at
    afterwards. Stretched time has one step after the other, and its period follows the machine:
    it is never shorter than what the last steps took. Real time that nobody asked for ends in
    stretched time when steps turn out too slow for it.
    """

    def __init__(self, base: TimeBase, window: int) -> None:
        """window: steps that the policy remembers."""
        self._base, self._window = base, window
        self._took_s: deque[float] = deque(maxlen=_RECENT)
        self._start_s = self._next_s = 0.0
        self._number = -1

    @property
    def period_s(self) -> float:
        """Between two steps and two waypoints [s]."""
        if self._base.name == "real" or not self._took_s:
            return self._base.period_s
        return max(self._base.period_s, SPARE * float(np.percentile(self._took_s, 95)))

    @property
    def factor(self) -> float:
        """Of the speed: 1 as in training, below it slower."""
        return self._base.factor * self._base.period_s / self.period_s

    @property
    def ahead(self) -> int:
        """How many waypoints of a chunk the guardian follows; on a slow machine not all.

        It refuses waypoints beyond HORIZON_S. The next decision comes before they would be due.
        """
        return max(1, int(HORIZON_S / self.period_s))

    @property
    def begun(self) -> bool:
        """Whether there was a step since `restart`."""
        return self._number >= 0

    @property
    def next_s(self) -> float:
        """When the next step is due."""
        if self._base.name == "real":
            return self._start_s + (self._number + 1) * self._base.period_s
        return self._next_s

    def restart(self, now_s: float) -> None:
        """The next step is the first one, and due now."""
        self._start_s = self._next_s = now_s
        self._number = -1

    def times_s(self, now_s: float) -> list[float]:
        """Moments of the steps that are due, oldest first; the last one is decided upon."""
        if self._base.name == "stretched":
            return [now_s]
        period_s = self._base.period_s
        due = steps_due(self._start_s, period_s, self._number, now_s, self._window)
        # For the newest, a picture newer than the step's own moment is better.
        return [*(self._start_s + number * period_s for number in due[:-1]), now_s]

    def taken(self, now_s: float) -> None:
        """The steps due by now were looked at."""
        if self._base.name == "real":
            period_s = self._base.period_s
            due = steps_due(self._start_s, period_s, self._number, now_s, self._window)
            self._number = due[-1] if due else self._number + 1
        else:
            self._number += 1
            self._next_s = max(self._next_s + self.period_s, now_s)

    def took(self, duration_s: float) -> bool:
        """From the pictures to the waypoints it took so long [s]; whether time is stretched now.

        Then the policy must begin anew: pictures at one rate do not go with those at another.
        """
        self._took_s.append(duration_s)
        recent = list(self._took_s)[-_TOO_SLOW:]
        if len(recent) < _TOO_SLOW or min(recent) <= self._base.slowest_s:
            return False
        self._base = TimeBase("stretched", self._base.period_s, self._base.factor)
        return True

    def origin_ns(self, observed_ns: int, now_ns: int) -> int:
        """From when the waypoints count [ns]: the first one is one period later.

        In real time from the observation. Stretched, a step that took too long moves its
        waypoints instead of losing them: at least half a period is left to reach the first.
        """
        if self._base.name == "real":
            return observed_ns
        return max(observed_ns, now_ns - round(self.period_s * 0.5e9))
