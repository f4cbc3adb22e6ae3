"""A network so small that its export takes seconds, and a quick way to export it again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from dreamvla_edge.export import export as module
from dreamvla_edge.export.data_set import DataSet, load_data_set
from dreamvla_edge.export.export import export
from dreamvla_edge.export.subgraphs import Subgraph
from dreamvla_edge.model.config import DreamHeadConfig, ModelConfig, ResamplerConfig, TowerConfig
from dreamvla_edge.model.synthetic import write_checkpoint
from dreamvla_edge.runtime.bundle import Bundle, open_bundle
from once import once

TINY = ModelConfig(
    window=2,
    backbone=TowerConfig(width=128, layers=1, heads=2, hidden=64),
    vision=TowerConfig(width=64, layers=1, heads=1, hidden=64),
    text=TowerConfig(width=64, layers=1, heads=1, hidden=64),
    resampler=ResamplerConfig(latents=2, layers=1, heads=1, head_width=64, hidden=64),
    dreams=(DreamHeadConfig("sam", tokens=4, channels=8, layers=1, heads=16),),
    shared_queries=False,
    queries_per_image=1,
    action_steps=3,
    action_head="dit",
    denoiser=TowerConfig(width=64, layers=1, heads=1, hidden=64),
    image_size=32,
    text_width=64,
)


@pytest.fixture(scope="session")
def checkpoint() -> Path:
    """A checkpoint of the small network."""
    place = once("tiny-checkpoint", lambda place: write_checkpoint(place / "tiny.pth", TINY))
    return place / "tiny.pth"


@pytest.fixture(scope="session")
def data_set() -> DataSet:
    """CALVIN with the small network's two heads."""
    calvin = load_data_set("calvin")
    return msgspec.structs.replace(calvin, model=msgspec.structs.replace(calvin.model, heads=2))


@pytest.fixture(scope="session")
def tiny(checkpoint: Path, data_set: DataSet) -> Bundle:
    """The bundle of the small network, exported with nothing left out."""
    place = once("tiny", lambda place: export(checkpoint, place / "bundle", data_set))
    return open_bundle(place / "bundle")


@pytest.fixture
def quick(tiny: Bundle, monkeypatch: pytest.MonkeyPatch) -> Callable[[Subgraph, Path], object]:
    """Exports of the same checkpoint take their ONNX files from `tiny`; all else is done."""

    def link(subgraph: Subgraph, folder: Path) -> tuple[str, ...]:
        files = sorted(tiny.path.glob(f"{subgraph.name}.onnx*"))
        for file in files:
            os.link(file, folder / file.name)
        return tuple(file.name for file in files)

    monkeypatch.setattr(module, "write_onnx", link)
    return link
