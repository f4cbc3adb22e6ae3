"""How sure a share is, and whether two of them differ."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple


class Share(NamedTuple):
    """A share of successes with its interval, and of how many trials."""

    mean: float
    low: float
    high: float
    trials: int


def wilson(successes: int, count: int, confidence: float = 0.95) -> Share:
    """Score interval of a binomial share (Wilson 1927, J. Am. Stat. Assoc. 22, p. 209)."""
    if count == 0:
        return Share(math.nan, 0.0, 1.0, 0)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    mean = successes / count
    middle = (mean + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(mean * (1 - mean) / count + (z / (2 * count)) ** 2)
    low = middle - half if successes else 0.0
    return Share(mean, low, middle + half if successes < count else 1.0, count)


class Difference(NamedTuple):
    """Of a share from another on the same seeds.

    mean: the one minus the other; low: one-sided bound, below which it is not with 95 %;
    p: of McNemar's exact test that they are alike; better, worse: seeds on which they differ.
    """

    mean: float
    low: float
    p: float
    better: int
    worse: int


def compare(one: Sequence[bool], other: Sequence[bool], confidence: float = 0.95) -> Difference:
    """Paired comparison of outcomes on the same seeds.

    McNemar's test without approximation: of the seeds on which both differ, each side's are
    binomial with a half (McNemar 1947, Psychometrika 12, p. 153). The bound is Newcombe's hybrid
    of both score intervals with the correlation of the pairs (1998, Stat. Med. 17, p. 2635,
    method 10). Raises ValueError if there are not as many of both.
    """
    pairs = list(zip(one, other, strict=True))
    if not pairs:
        raise ValueError("nothing to compare")
    better = sum(a and not b for a, b in pairs)
    worse = sum(b and not a for a, b in pairs)
    both, neither = sum(a and b for a, b in pairs), sum(not a and not b for a, b in pairs)
    count, differ = len(pairs), better + worse
    tail = sum(math.comb(differ, k) for k in range(min(better, worse) + 1))
    p = min(1.0, tail / 2 ** (differ - 1)) if differ else 1.0
    # Two-sided intervals of 2·confidence - 1 have one-sided bounds of this confidence.
    first, second = (wilson(sum(part), count, 2 * confidence - 1) for part in (one, other))
    product = (both + better) * (worse + neither) * (both + worse) * (better + neither)
    correlation = (both * neither - better * worse) / math.sqrt(product) if product else 0.0
    down, up = first.mean - first.low, second.high - second.mean
    mean = first.mean - second.mean
    low = mean - math.sqrt(max(0.0, down**2 - 2 * correlation * down * up + up**2))
    return Difference(mean, low, p, better, worse)
