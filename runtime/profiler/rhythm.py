"""Stages that wait for a rhythm: how long, and what they would take if waits fell evenly.

How long goals wait for the guardian's next cycle, and how old the pictures are, is chance: it
depends on where in the cycle a decision ends, which no short run goes through evenly. But the wait
of every decision is known, and over a long time every moment of a cycle is as likely as another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.specification import Contract

_OFFSETS, _POINTS, _BETTER, _RESOLUTION_S = 100, 1000, 0.99, 1e-9


class Rhythm(Contract, frozen=True):
    """What n durations waited for.

    periods (k,) [s]: of what is waited for together; the longest wait counts. waits (n, k) [s]:
    of each duration for each of them, from 0 to its period.
    """

    periods: tuple[float, ...]
    waits: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        if not self.periods or not min(self.periods) > 0:
            raise ValueError("a rhythm needs periods above zero")
        if any(len(one) != len(self.periods) for one in self.waits):
            raise ValueError("every duration needs a wait for each period")


def until_next(moments_s: Sequence[float], mark_s: float, period_s: float) -> NDArray[np.float64]:
    """How long from each moment to the next multiple of the period after a mark [s], (n,)."""
    return np.asarray((mark_s - np.asarray(moments_s, float)) % period_s)


@dataclass(frozen=True, eq=False)
class Evened:
    """Durations as they would be if waits fell evenly.

    values, expected (n,) [s]: durations, and what they would be if nothing but the wait differed;
    rest_s: what the latter have beside the wait; periods (k,) [s].
    """

    values: NDArray[np.float64]
    expected: NDArray[np.float64]
    rest_s: float
    periods: NDArray[np.float64]

    def share_below(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of durations up to these [s].

        That of the longest of even waits is known; how far the measured durations' share is from
        that of the expected ones is added: a control variate (Hesterberg and Nelson, Management
        Science 44, 1998, p. 1295, for probabilities, with the coefficient 1).
        """
        even = ((seconds[:, None] - self.rest_s) / self.periods).clip(0, 1).prod(1)
        found, waited = (
            np.searchsorted(np.sort(each), seconds, "right")
            for each in (self.values, self.expected)
        )
        return np.asarray(even + (found - waited) / len(self.values))

    def quantiles(self, shares: Sequence[float]) -> NDArray[np.float64]:
        """The durations [s] that such shares do not exceed."""
        longest = self.rest_s + np.linspace(0, self.periods.max(), _POINTS)
        at = np.sort(np.concatenate([self.values, self.expected, longest]))
        share = self.share_below(at)
        # It need not rise everywhere: halfway between the rising curves above and below it.
        above, below = np.maximum.accumulate(share), np.minimum.accumulate(share[::-1])[::-1]
        places = np.searchsorted((above + below) / 2, shares)
        return np.asarray(at[places.clip(0, len(at) - 1)])


def evened(values: NDArray[np.float64], rhythm: Rhythm) -> Evened:
    """Durations (n,) [s] freed from how their waits happened to fall.

    What comes a little before its cycle may be too late for it, and waits for another: where in
    the cycle that is, is where waits explain the durations best.
    """
    waits, periods = np.array(rhythm.waits), np.array(rhythm.periods)
    best = np.inf
    for offset in np.linspace(0, periods.max(), _OFFSETS, endpoint=False):
        longest = ((waits - offset) % periods).max(1)
        rest = float(np.median(values - longest))
        spread = float(np.abs(values - longest - rest).mean())
        if spread < _BETTER * best - _RESOLUTION_S:
            best, found = spread, Evened(values, longest + rest, rest, periods)
    return found
