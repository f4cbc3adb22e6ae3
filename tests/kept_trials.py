"""Trials as `dreamvla quantize --accept sim` keeps them beside its output."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dreamvla_edge.runtime.bundle import Bundle, sha256
from dreamvla_edge.runtime.manifest import MANIFEST_NAME
from dreamvla_edge.sim.evaluation.evaluation import TRIALS, Asked, Log
from dreamvla_edge.sim.evaluation.trial import Played, Trial


def place_of(bundle: Bundle, folder: Path) -> Path:
    """Where its trials are kept."""
    return folder / sha256(bundle.file(MANIFEST_NAME))[:12]


def played_before(bundle: Bundle, folder: Path, asked: Sequence[Asked], end: str = "done") -> None:
    """As an earlier run leaves it."""
    with Log(place_of(bundle, folder), motions=False) as log:
        for one in asked:
            trial = Trial(
                **{"family": one.family, "seed": one.seed, "instruction": "", "end": end},
                **{"steps": 1, "flips": 0, "shake": 0.0, "collisions": 0, "actions": ""},
            )
            log.add(one, Played(trial, np.zeros(0)))


def lines(bundle: Bundle, folder: Path) -> list[Asked]:
    """What was tried, in the order in which it was written down."""
    text = (place_of(bundle, folder) / TRIALS).read_text().splitlines()
    found = [json.loads(line) for line in text]
    return [Asked(li["trial"]["family"], li["trial"]["seed"], li["who"]) for li in found]
