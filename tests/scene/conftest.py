"""One scene for all tests here; each resets it."""

from __future__ import annotations

import pytest

from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.sim.scene.scene import Scene


@pytest.fixture(scope="session")
def scene() -> Scene:
    """An SO-101 on a table."""
    return Scene(load_description("so101"))
