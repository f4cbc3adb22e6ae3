"""The demo's recipe: from nothing to weights, and from there on where it was left."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dreamvla_edge.export.export import hints
from dreamvla_edge.model.checkpoint import load_network
from dreamvla_edge.train import demo
from dreamvla_edge.train.examples import Examples
from dreamvla_edge.train.plan import Plan
from dreamvla_edge.train.run import STATE

WANTED = (
    "--seeds",
    "0:2",
    "--glimpses",
    "6",
    "--eyes",
    "3",
    "--steps",
    "3",
    "--runs",
    "dreams-0",
    "plain-0",
)


def test_runs_differ_in_their_dreams_and_seeds_alone() -> None:
    """So the effect of dreaming is what differs between them."""
    dreams, plain, other = (demo.plan(name, 9) for name in ("dreams-0", "plain-0", "dreams-1"))
    assert isinstance(dreams, Plan) and dreams.dreams and not plain.dreams
    different = {
        key
        for key, value in vars(dreams).items()
        if (vars(plain)[key], vars(other)[key]) != (value,) * 2
    }
    assert different == {"dreams", "seed"} and (plain.seed, other.seed) == (0, 1)


@pytest.mark.slow
def test_from_nothing(tmp_path: Path) -> None:
    """Small enough to ship, the network that was asked for, the same when it is asked again."""
    assert demo.main([str(tmp_path), *WANTED]) == 0
    examples = Examples.load(tmp_path / "examples")
    assert len(examples.tokens) == 10 and {"depth", "sam"} == set(examples.dreams)
    assert np.asarray(Image.open(tmp_path / "runs" / "curves.png")).std() > 5
    found = {}
    for name in ("dreams-0", "plain-0"):
        weights = tmp_path / "runs" / name / demo.WEIGHTS
        assert weights.stat().st_size <= 14e6
        found[name] = load_network(weights, hints(demo.DATA_SET))
        assert found[name].config == demo.NETWORK
    heads = [
        torch.equal(*(found[name].get_parameter("depth_decoder_pred.weight") for name in found))
    ]
    assert heads == [False]
    before = {p: p.read_bytes() for p in tmp_path.glob("runs/*/weights.safetensors")}
    (tmp_path / "runs" / "plain-0" / STATE).unlink()
    assert demo.main([str(tmp_path), *WANTED]) == 0
    assert before == {p: p.read_bytes() for p in tmp_path.glob("runs/*/weights.safetensors")}
