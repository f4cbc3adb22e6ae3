"""Bundles that do the tasks of the demo's scene, on the same seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dreamvla_edge.sim.evaluation.evaluation import Candidate, Log, evaluate, trials
from dreamvla_edge.sim.evaluation.summary import comparison, summary

MOST = 8
_FIRST_SEED = 520_000


def played(
    candidates: Sequence[tuple[str, Path, str | None]], episodes: int, workers: int, folder: Path
) -> list[dict[str, Any]]:
    """Success of each (name, bundle, sampler) with its interval, and less the first one's."""
    asked, logs = trials(range(_FIRST_SEED, _FIRST_SEED + episodes)), []
    for number, (_, bundle, sampler) in enumerate(candidates):
        with Log(folder / f"finalist-{number}") as log:
            evaluate(Candidate(bundle, sampler), asked, log, workers, lambda _done, _of: None)
        logs.append(log)
    return [
        {"name": name, **summary(log.done)["success"], **comparison(log.done, logs[0].done)}
        for (name, _, _), log in zip(candidates, logs, strict=True)
    ]
