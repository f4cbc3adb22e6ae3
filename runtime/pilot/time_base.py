"""How the steps of the data set lie in real time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dreamvla_edge.runtime.errors import LatencyError

Wish = Literal["auto", "real", "stretched"]
SPARE = 1.05
"""A stretched period is so much longer than nearly every step of the policy."""


@dataclass(frozen=True)
class TimeBase:
    """name: `real` or `stretched`; period_s: between two steps; factor: of the speed, 1 = as the
    data set, below it the arm and everything it sees move slower than in training; slowest_s:
    duration of steps above which real time gives way to stretched, infinite if it was asked for.
    """

    name: Literal["real", "stretched"]
    period_s: float
    factor: float
    slowest_s: float = math.inf


def choose(
    wish: Wish, steps_s: Sequence[float], period_s: float, waypoints: int, speed: float = 1.0
) -> TimeBase:
    """The time base for a policy on this machine.

    steps_s: durations of policy steps that were tried, from the observation to the waypoints [s];
    period_s: of the data set [s]; waypoints: of one chunk; speed: share wanted, up to 1.
    Real time needs waypoints left when the next chunk arrives: two steps, one after the other,
    must fit into a chunk. Stretched, a step takes one period. Raises LatencyError if real time is
    asked for and 95 % of the steps do not fit into one period less than a chunk has, or the
    speed is not that of the data set.
    """
    if wish == "real" and speed != 1.0:
        raise LatencyError(
            f"real time at {speed:g} of the speed",
            "the speed of the data set in real time",
            "leave out --speed, or leave out --time-base real",
        )
    latency_s = float(np.percentile(steps_s, 95))
    if wish == "real" and latency_s > (waypoints - 1) * period_s:
        raise LatencyError(
            f"a policy step takes {latency_s * 1e3:.0f} ms here (95th percentile)",
            f"at most {(waypoints - 1) * period_s * 1e3:.0f} ms: {waypoints - 1} periods of the"
            " data set",
            "use --time-base stretched, which moves slower than in training, or a faster device",
        )
    slowest_s = waypoints * period_s / 2
    if wish == "real":
        return TimeBase("real", period_s, 1.0)
    if wish == "auto" and speed == 1.0 and latency_s <= slowest_s:
        return TimeBase("real", period_s, 1.0, slowest_s)
    stretched_s = max(period_s / speed, latency_s * SPARE * (2 if waypoints == 1 else 1))
    return TimeBase("stretched", stretched_s, period_s / stretched_s)
