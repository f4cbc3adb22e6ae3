"""A checkpoint so small that its export takes seconds, and its bundle."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bundles import copy_of
from commands import Done, Good, document, dreamvla
from dreamvla_edge.export.data_set import template
from dreamvla_edge.model.config import (
    DreamHeadConfig,
    ModelConfig,
    ResamplerConfig,
    TowerConfig,
)
from dreamvla_edge.model.synthetic import write_checkpoint
from dreamvla_edge.runtime.bundle import Bundle, open_bundle
from once import once

TINY = ModelConfig(
    window=3,
    backbone=TowerConfig(width=128, layers=1, heads=2, hidden=256),
    vision=TowerConfig(width=64, layers=1, heads=1, hidden=128),
    text=TowerConfig(width=64, layers=1, heads=1, hidden=128),
    resampler=ResamplerConfig(latents=4, layers=1, heads=1, head_width=64, hidden=128),
    dreams=(DreamHeadConfig("image", tokens=196, channels=64, layers=1, heads=16),),
    shared_queries=False,
    queries_per_image=2,
    action_steps=3,
    action_head="dit",
    denoiser=TowerConfig(width=64, layers=1, heads=1, hidden=128),
    text_width=64,
)


def export_tiny(place: Path) -> None:
    """`dreamvla export --json`, what it takes, what it gives, and what it says."""
    folder = place / "good"
    folder.mkdir()
    checkpoint, data_set, bundle = (folder / name for name in ("tiny.pth", "tiny.toml", "bundle"))
    write_checkpoint(checkpoint, TINY)
    data_set.write_text(template("calvin").replace("heads = 16", "heads = 2"))
    done = dreamvla("export", checkpoint, "-o", bundle, "--data-set", data_set, "--json")
    assert done.returncode == 0, done.stderr
    assert document(done)["bundle"] == str(bundle)
    (place / "said.json").write_text(json.dumps(vars(done)))


@pytest.fixture(scope="session")
def good() -> Good:
    """One run of `dreamvla export --json` beside which all the bad ones stand."""
    place = once("export", export_tiny)
    done = Done(**json.loads((place / "said.json").read_text()))
    files = (place / "good" / name for name in ("tiny.pth", "tiny.toml", "bundle"))
    return Good(*files, done)


@pytest.fixture
def copied(bundle: Callable[[str], Bundle], tmp_path: Path) -> Path:
    """A copy of `calvin_small` to be changed with the functions of tests/bundles.py."""
    return copy_of(bundle("calvin_small"), tmp_path / "copied")


@pytest.fixture
def tiny(good: Good) -> Bundle:
    """The bundle of the good run; not to be changed."""
    return open_bundle(good.bundle)
