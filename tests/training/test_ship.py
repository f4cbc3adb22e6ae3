"""The card says what the runs came to, and what ships is one of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from dreamvla_edge.export.data_set import load_data_set
from dreamvla_edge.runtime.bundle import sha256
from dreamvla_edge.sim.evaluation.evaluation import Log, trials
from dreamvla_edge.sim.evaluation.trial import Played, Trial
from dreamvla_edge.train.curves import CURVES
from dreamvla_edge.train.demo import DATA_SET, WEIGHTS
from dreamvla_edge.train.run import LOG
from dreamvla_edge.train.ship import CARD, card, ship
from training.test_run import examples

SEEDS = range(500_000, 500_020)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two runs that have ended, one of which can do half of everything."""
    for name, loss in (("dreams-0", 0.1), ("plain-0", 0.2)):
        run = tmp_path / "runs" / name
        (run / "bundle").mkdir(parents=True)
        (run / "bundle" / "bundle.json").write_text(name)
        (run / WEIGHTS).write_bytes(name.encode() * 1000)
        (run / LOG).write_text(json.dumps({"step": 70, "loss": 1, "action": loss}) + "\n")
    (tmp_path / "runs" / CURVES).write_bytes(b"a picture")
    return tmp_path / "runs"


def log(folder: Path, every: int, who: str = "policy") -> Log:
    """Trials of which one in so many is done."""
    with Log(folder) as found:
        for number, asked in enumerate(trials(SEEDS, (who,))):
            end = "time" if number % every else "done"
            trial = Trial(
                **{"family": asked.family, "seed": asked.seed, "instruction": "do it", "end": end},
                **{"steps": 9, "flips": 0, "shake": 1.0, "collisions": 0, "actions": "x"},
            )
            found.add(asked, Played(trial, np.zeros((1, 3))))
    return found


def test_the_card(runs: Path, tmp_path: Path) -> None:
    """Success of every run, both losses, the comparison, and what it was made of."""
    logs = {"dreams-0": log(tmp_path / "a", 2), "plain-0": log(tmp_path / "b", 20)}
    logs["dreams-0"].done |= log(tmp_path / "c", 10, "black images").done
    data = examples(0)
    text = card(runs / "dreams-0", logs, data)
    assert "| all | 50 % (30 to 70) | 20 |" in text
    assert "| black images | 10 % (3 to 30) | 20 |" in text
    assert "| dreams-0 | 50 % (30 to 70) | action 0.1 |" in text
    assert "| plain-0 | 5 % (1 to 24) | action 0.2 |" in text
    assert "dreams-0 against plain-0 on the same 20 seeds: +45.0 points, McNemar p = 0.0039" in text
    assert data.sha256 in text and sha256(runs / "dreams-0" / WEIGHTS) in text


def test_what_ships_takes_the_place_of_what_shipped(runs: Path, tmp_path: Path) -> None:
    """All of it, and nothing else is touched."""
    demo = tmp_path / "demo"
    (demo / "bundle").mkdir(parents=True)
    (demo / "bundle" / "old.onnx").write_text("old")
    (demo / "__init__.py").write_text("code")
    ship(runs / "plain-0", "what it says", demo)
    assert {path.name for path in demo.iterdir()} == {
        *("__init__.py", "bundle", WEIGHTS, CURVES, CARD, "data_set.toml")
    }
    assert [path.name for path in (demo / "bundle").iterdir()] == ["bundle.json"]
    assert (demo / "bundle" / "bundle.json").read_text() == "plain-0"
    assert (demo / CARD).read_text() == "what it says"
    assert load_data_set(str(demo / "data_set.toml")) == DATA_SET
