"""The shipped bundle, a scene, and what the expert shows there."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamvla_edge.demo import BUNDLE
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.bundle import Bundle, open_bundle
from dreamvla_edge.sim.demo import ARM, IMAGE
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.scene.views import Views
from dreamvla_edge.sim.tasks import FAMILIES
from dreamvla_edge.sim.teach import teach
from once import once


@pytest.fixture(scope="session")
def shipped() -> Bundle:
    """The demo's."""
    return open_bundle(BUNDLE)


@pytest.fixture(scope="session")
def recordings() -> Path:
    """A folder of the expert's tries, one of each family; not to be changed."""
    return once("recordings", _teach)


def _teach(place: Path) -> None:
    scene = Scene(load_description(ARM))
    with Views(scene, IMAGE) as views:
        for seed, family in enumerate(FAMILIES.values(), 7):
            teach(scene, views, family, seed, place / f"{family.name}-{seed}")
