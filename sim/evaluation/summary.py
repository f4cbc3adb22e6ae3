"""What many trials add up to, as a document."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from .evaluation import POLICY, Asked
from .statistics import compare, wilson
from .trial import Trial

Done = Mapping[Asked, Trial]


def summary(done: Done) -> dict[str, Any]:
    """Success of the policy, of its families and of the controls, and how it moved.

    Shares are {mean, low, high, episodes}, with the 95 % interval.
    """
    of = {who: [t for a, t in done.items() if a.who == who] for who in {a.who for a in done}}
    own = of.pop(POLICY, [])
    families = sorted({trial.family for trial in own})
    return {
        "episodes": len(own),
        "success": _share(own),
        "families": {name: _family([t for t in own if t.family == name]) for name in families},
        "ends": dict(Counter(trial.end for trial in own)),
        "controls": {who: _share(trials) for who, trials in sorted(of.items())},
    }


def comparison(one: Done, other: Done) -> dict[str, Any]:
    """The policy's success in `one` less that in `other`, on the seeds that are in both.

    Raises ValueError if there are none.
    """
    common = sorted(asked for asked in one if asked.who == POLICY and asked in other)
    pairs = [(one[asked].success, other[asked].success) for asked in common]
    difference = compare([a for a, _ in pairs], [b for _, b in pairs])
    return {
        "episodes": len(pairs),
        "difference": difference.mean,
        "at_least": difference.low,
        "p": difference.p,
        "better": difference.better,
        "worse": difference.worse,
    }


def _share(trials: Sequence[Trial]) -> dict[str, float]:
    share = wilson(sum(trial.success for trial in trials), len(trials))
    return {"mean": share.mean, "low": share.low, "high": share.high, "episodes": share.trials}


def _family(trials: Sequence[Trial]) -> dict[str, float]:
    times = [trial.time_s for trial in trials if trial.success]
    return {
        **_share(trials),
        "time_s": statistics.median(times) if times else float("nan"),
        "flips": statistics.fmean(trial.flips for trial in trials),
        "shake_rad_s2": statistics.fmean(trial.shake for trial in trials),
        "collisions": statistics.fmean(trial.collisions for trial in trials),
    }
