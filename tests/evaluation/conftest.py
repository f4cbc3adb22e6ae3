"""A bundle of the demo's network before training, and one scene."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamvla_edge.export.export import export
from dreamvla_edge.model.initial import initial_network
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.train.demo import DATA_SET, NETWORK
from dreamvla_edge.train.weights import write_weights
from once import once


@pytest.fixture(scope="session")
def untrained() -> Path:
    """It moves, and does nothing that it is told."""
    return once("untrained", _export_untrained) / "bundle"


def _export_untrained(folder: Path) -> None:
    write_weights(initial_network(NETWORK, 0).state_dict(), folder / "weights.safetensors")
    export(folder / "weights.safetensors", folder / "bundle", DATA_SET)


@pytest.fixture(scope="session")
def scene() -> Scene:
    """An SO-101 on a table."""
    return Scene(load_description("so101"))
