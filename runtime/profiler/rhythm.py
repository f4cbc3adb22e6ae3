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

_EVEN, _PHASES = 500, 100


class Rhythm(Contract, frozen=True):
    """What n durations waited for.

    waits (n,) [s]: of each duration, as its phase says; even (m,) [s]: waits that are equally
    likely when all phases are, rising.
    """

    waits: tuple[float, ...]
    even: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.even or any(b < a for a, b in zip(self.even, self.even[1:], strict=False)):
            raise ValueError("a rhythm needs even waits that rise")

    def at(self, places: NDArray[np.intp]) -> Rhythm:
        """Of the durations in these places alone."""
        return Rhythm(tuple(self.waits[place] for place in places), self.even)


def of_a_cycle(moments_s: Sequence[float], mark_s: float, period_s: float) -> Rhythm:
    """From each moment to the next multiple of the period after or before a mark [s]."""
    waits = (mark_s - np.asarray(moments_s, float)) % period_s
    return Rhythm(tuple(waits.tolist()), tuple((period_s * _middles(_EVEN)).tolist()))


def of_cameras(ages_s: NDArray[np.float64], periods_s: tuple[float, float]) -> Rhythm:
    """How old the older picture of a pair is.

    ages_s (n, 2): of any pictures of both cameras, when a step looked at them; periods_s: of the
    cameras. See `older_s`.
    """
    phases = np.stack(np.meshgrid(_middles(_PHASES), _middles(_PHASES)), -1).reshape(-1, 2)
    even = np.quantile(older_s(phases * periods_s, periods_s), _middles(_EVEN))
    waits = older_s(ages_s % np.array(periods_s), periods_s)
    return Rhythm(tuple(waits.tolist()), tuple(even.tolist()))


def older_s(newest_s: NDArray[np.float64], periods_s: tuple[float, float]) -> NDArray[np.float64]:
    """Age (n,) [s] of the older picture of the pair that is taken, as `cameras.history` pairs them.

    newest_s (n, 2): age of each camera's newest picture. The older of these sets the moment; beside
    it stands that of the other camera which is nearest, and may be older still.
    """
    older, newer = newest_s.max(1), newest_s.min(1)
    other_s = np.where(newest_s[:, 0] <= newest_s[:, 1], *periods_s)
    beside = newer + other_s * np.round((older - newer) / other_s)
    return np.asarray(np.maximum(older, beside))


@dataclass(frozen=True, eq=False)
class Evened:
    """Durations as they would be if waits fell evenly.

    values, expected (n,) [s]: durations, and what they would be if nothing but the wait differed;
    even (m,) [s]: the same of even waits, rising.
    """

    values: NDArray[np.float64]
    expected: NDArray[np.float64]
    even: NDArray[np.float64]

    def share_below(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of durations up to these [s].

        That of even waits is known; how far the measured durations' share is from that of the
        expected ones is added: a control variate (Hesterberg and Nelson, Management Science 44,
        1998, p. 1295, for probabilities, with the coefficient 1).
        """
        even = np.interp(seconds, self.even, _middles(len(self.even)), left=0, right=1)
        found, waited = (
            np.searchsorted(np.sort(each), seconds, "right")
            for each in (self.values, self.expected)
        )
        return np.asarray(even + (found - waited) / len(self.values))

    def quantiles(self, shares: Sequence[float]) -> NDArray[np.float64]:
        """The durations [s] that such shares do not exceed."""
        at = np.sort(np.concatenate([self.values, self.expected, self.even]))
        share = self.share_below(at)
        # It need not rise everywhere: halfway between the rising curves above and below it.
        above, below = np.maximum.accumulate(share), np.minimum.accumulate(share[::-1])[::-1]
        places = np.searchsorted((above + below) / 2, shares)
        return np.asarray(at[places.clip(0, len(at) - 1)])


def evened(values: NDArray[np.float64], rhythm: Rhythm) -> Evened:
    """Durations (n,) [s] freed from how their waits happened to fall."""
    waits = np.array(rhythm.waits)
    rest_s = np.median(values - waits)
    return Evened(values, waits + rest_s, np.array(rhythm.even) + rest_s)


def _middles(count: int) -> NDArray[np.float64]:
    """Of as many equal parts of 0 to 1."""
    return (np.arange(count) + 0.5) / count
