"""Pointing: what is asked for is found among all that is seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dreamvla_edge.model.initial import initial_network
from dreamvla_edge.runtime.preprocess import Preprocessing
from dreamvla_edge.sim.scene.layout import COLOURS
from dreamvla_edge.sim.tasks import FAMILIES
from dreamvla_edge.train.batch import Batches
from dreamvla_edge.train.examples import Examples
from dreamvla_edge.train.plan import Plan
from dreamvla_edge.train.pointing import Asking, Pointing
from dreamvla_edge.train.run import Run
from dreamvla_edge.train.scene import LANDMARKS
from dreamvla_edge.train.words import Sentences, landmarks
from training.tiny import NETWORK

EPISODES, LENGTH, SIZE = 60, 4, NETWORK.image_size
COUNT = EPISODES * LENGTH


def examples() -> Examples:
    """Each episode has two things, left and right in the picture by their grey, at any height."""
    random = np.random.default_rng(0)
    images = random.integers(0, 30, (COUNT, 2, SIZE, SIZE, 3)).astype(np.uint8)
    places = np.full((COUNT, 2, LANDMARKS, 5), np.nan, np.float16)
    for episode in range(EPISODES):
        frames = slice(episode * LENGTH, (episode + 1) * LENGTH)
        for thing, column in ((0, 4), (1, 16)):
            row = int(random.integers(0, SIZE - 4))
            images[frames, :, row : row + 4, column : column + 4] = 120 + 100 * thing
            places[frames, :, thing] = [column / 100, row / 100, 0, 1, 0]
    return Examples(
        images=images,
        states=random.normal(size=(COUNT, 7)).astype(np.float32),
        actions=np.zeros((COUNT, 7), np.float32),
        tokens=np.zeros((EPISODES, 77), np.int32),
        first=np.arange(0, COUNT + 1, LENGTH),
        moves=np.zeros((COUNT, 2, 9), np.bool_),
        sights={"places": places},
    )


def lesson() -> tuple[Pointing, Asking, Sentences]:
    """Two sentences, one for each thing: meanings of red and of green."""
    data = examples()
    tokens = np.zeros((2, 77), np.int64)
    tokens[:, 0], tokens[:, 2], tokens[:, 1] = 49406, 49407, (1000, 2000)
    known = Sentences(tokens, np.array([0, 1]))
    pointing = Pointing(initial_network(NETWORK, 0))
    batches = Batches(data, NETWORK, Preprocessing(size=SIZE), False, 0.0)
    return pointing, Asking(pointing, data, batches, known, 16), known


def test_each_meaning_has_its_landmark() -> None:
    """By colour; the drawer's is its handle."""
    found = landmarks()
    colours = len(COLOURS)
    count = {
        name: (1 if name == "drawer" else colours * len(f.ways)) for name, f in FAMILIES.items()
    }
    assert len(found) == sum(count.values())
    begin = 0
    for name, family in FAMILIES.items():
        own = found[begin : begin + count[name]]
        begin += count[name]
        wanted = [5] if name == "drawer" else np.repeat(range(colours), len(family.ways))
        np.testing.assert_array_equal(own, wanted)


def test_what_is_not_seen_teaches_nothing() -> None:
    """An error of 2 cm costs half, and is so far off."""
    pointing, asking, _ = lesson()
    with torch.no_grad():
        pointing.read_places.weight.zero_()
        pointing.read_places.bias.zero_()
    random = np.random.default_rng(0)
    windows = asking._batches.draw(4, random)
    nowhere = torch.full((4, NETWORK.window, 2, 3), torch.nan)
    assert pointing.losses(windows, nowhere)["loss"] == 0
    there = nowhere.clone()
    there[:, :, 0] = torch.tensor([0.02, 0, 0])
    found = pointing.losses(windows, there)
    assert found["loss"].item() == pytest.approx(0.5 / 3)
    assert found["primary_mm"].item() == pytest.approx(20) and found["wrist_mm"] == 0


@pytest.mark.slow
def test_it_points_at_what_is_asked_for(tmp_path: Path) -> None:
    """Nearer than whoever does not listen could be: the things are 12 cm apart."""
    pointing, asking, _ = lesson()
    plan = Plan(steps=400, windows=16, warm_up=20, rate=2e-3, average=0.98)
    Run(pointing, asking, plan, tmp_path, "").go(400, lambda line: None)
    with torch.no_grad():
        found = asking(np.random.default_rng(7))
    assert found["primary_mm"] < 30
