"""Eyes learn what is where, and what they see is what the whole network would have seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamvla_edge.model.initial import initial_network
from dreamvla_edge.model.losses import features_of
from dreamvla_edge.runtime.preprocess import Preprocessing
from dreamvla_edge.train import eyes as module
from dreamvla_edge.train.batch import Batches
from dreamvla_edge.train.examples import Examples
from dreamvla_edge.train.eyes import CELLS, Eyes, Sights, seen_by
from dreamvla_edge.train.glimpses import Glimpses
from dreamvla_edge.train.plan import Plan
from dreamvla_edge.train.run import Run
from dreamvla_edge.train.scene import LANDMARKS, SEMANTICS
from training.tiny import NETWORK as TINY

NETWORK = replace(TINY, resampler=replace(TINY.resampler, latents=LANDMARKS))
SIZE, COUNT = NETWORK.image_size, 96
PREPROCESSING = Preprocessing(size=SIZE)


def examples(seed: int) -> Examples:
    """A bright square on a dark ground is thing 5 and landmark 0; nothing else is to be seen."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 40, (COUNT, 2, SIZE, SIZE, 3)).astype(np.uint8)
    things = np.zeros((COUNT, 2, SIZE, SIZE), np.uint8)
    places = np.full((COUNT, 2, LANDMARKS, 5), np.nan, np.float16)
    for frame in range(COUNT):
        for camera in range(2):
            x, y = random.integers(0, SIZE - 6, 2)
            images[frame, camera, y : y + 6, x : x + 6] += 180
            things[frame, camera, y : y + 6, x : x + 6] = 5
            places[frame, camera, 0] = [x / 100, y / 100, 0, 1, 0]
    return Examples(
        images=images,
        states=random.normal(size=(COUNT, 7)).astype(np.float32),
        actions=np.zeros((COUNT, 7), np.float32),
        tokens=np.tile(np.array([49406, 320, 49407] + [0] * 74, np.int32), (COUNT // 8, 1)),
        first=np.arange(0, COUNT + 1, 8),
        moves=np.zeros((COUNT, 2, 9), np.bool_),
        sights={"things": things, "places": places},
    )


def glimpses(seed: int) -> Glimpses:
    """The same as moments."""
    found = examples(seed)
    return Glimpses(found.images, found.sights["things"], found.sights["places"])


@pytest.mark.slow
def test_they_learn_where_it_is(tmp_path: Path) -> None:
    """On pictures that they never saw: to two pixels of twenty-four, and that no other is there."""
    eyes = Eyes(initial_network(NETWORK, 0))
    plan = Plan(steps=600, windows=32, warm_up=20, rate=2e-3, average=0.98)
    lesson = Sights(eyes, [glimpses(0), glimpses(2)], PREPROCESSING, plan.windows // 2)
    run = Run(eyes, lesson, plan, tmp_path, "")
    run.go(600, lambda line: None)
    with torch.no_grad():
        found = Sights(eyes.eval(), [glimpses(1)], PREPROCESSING, 64)(np.random.default_rng(0))
    assert found["primary_mm"] < 25 and found["wrist_mm"] < 25
    assert found["seen"] < 0.05 and found["things"] < 0.4


def test_cells_are_shares() -> None:
    """Against counting them one by one."""
    things = torch.from_numpy(np.random.default_rng(0).integers(0, SEMANTICS, (3, 2, 24, 24)))
    cells = module._cells(things, 8)
    assert cells.shape == (6, 9, CELLS**2, SEMANTICS)
    pictures, edge = things.flatten(0, 1).numpy(), 8 // CELLS
    for picture, patch, cell in ((0, 0, 0), (3, 5, 6), (5, 8, 15)):
        top = patch // 3 * 8 + cell // CELLS * edge
        left = patch % 3 * 8 + cell % CELLS * edge
        part = pictures[picture, top : top + edge, left : left + edge]
        counted = np.bincount(part.ravel(), minlength=SEMANTICS) / edge**2
        np.testing.assert_allclose(cells[picture, patch, cell], counted)


def test_a_place_that_is_not_seen_teaches_nothing() -> None:
    """But that it is not seen; one that is wrong by a unit costs half, and is so far off."""
    eyes = Eyes(initial_network(NETWORK, 0))
    data = examples(0)
    images = torch.zeros(2, 2, 3, SIZE, SIZE)
    things = torch.from_numpy(data.sights["things"][:2])
    with torch.no_grad():
        for layer in eyes.read_slots:
            layer.weight.zero_()
            layer.bias.zero_()
    nowhere = torch.full((2, 2, LANDMARKS, 5), torch.nan)
    assert eyes.losses(images, things, nowhere)["places"] == 0
    there = nowhere.clone()
    there[:, :, 0] = torch.tensor([0.02, 0, 0, 0, 0])
    found = eyes.losses(images, things, there)
    assert found["places"].item() == pytest.approx(0.5)
    assert found["primary_mm"].item() == pytest.approx(20)
    bowl = nowhere.clone()
    bowl[:, :, 4] = torch.tensor([0, 0, 0, 1.0, 0])  # a yaw that nobody can tell
    assert eyes.losses(images, things, bowl)["places"] == 0


def test_a_token_for_each_landmark() -> None:
    """Its place is read from its own token and from no other; a network with fewer is refused."""
    eyes = Eyes(initial_network(NETWORK, 0))
    data = examples(0)
    images = torch.from_numpy(data.images[:2]).movedim(-1, 2).float() / 255
    things = torch.from_numpy(data.sights["things"][:2])
    places = torch.full((2, 2, LANDMARKS, 5), torch.nan)
    places[:, :, 3] = torch.tensor([0.1, 0.2, 0.3, 1, 0])
    slots: list[torch.Tensor] = []
    eyes.perceiver_resampler.register_forward_hook(
        lambda module, given, made: slots.append(made.requires_grad_()) or slots[-1]
    )
    found = eyes.losses(images, things, places)["places"]
    (slope,) = torch.autograd.grad(found, slots)
    assert {int(i) for i in slope.abs().sum((0, 2)).nonzero()} == {3}
    with pytest.raises(ValueError, match="2 latents for 6 landmarks"):
        Eyes(initial_network(TINY, 0))


def test_what_was_seen_before_need_not_be_seen_again() -> None:
    """The same features as from the pictures, but for half precision."""
    network, data = initial_network(NETWORK, 0).eval(), examples(0)
    seen = seen_by(network, data, PREPROCESSING)
    plain = Batches(data, NETWORK, PREPROCESSING, False, 0.0)
    quick = Batches(data, NETWORK, PREPROCESSING, False, 0.0, seen)
    batches = [b.draw(4, np.random.default_rng(3)) for b in (plain, quick)]
    assert batches[0].seen is None and batches[1].images is None
    with torch.no_grad():
        whole, known = (features_of(network, batch) for batch in batches)
    assert (whole - known).abs().max() < 0.03 * whole.abs().max()  # bfloat16's eight bits, twice
    with pytest.raises(ValueError, match="anything to see"):
        features_of(network, replace(batches[0], images=None))
