"""A network before training: reproducible, of the right size, and patches know their places."""

from __future__ import annotations

import math

import pytest
import torch

from dreamvla_edge.model.checkpoint import config_of
from dreamvla_edge.model.initial import grid_positions, initial_network
from dreamvla_edge.model.sizes import Hints
from training.tiny import NETWORK


def test_the_same_seed_gives_the_same_weights() -> None:
    """Another seed gives others; the configuration can be read off them."""
    one, same, other = (initial_network(NETWORK, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)
    assert config_of(one, Hints(1, None, None, 1, 1)) == NETWORK
    assert all(weight.isfinite().all() for name, weight in one.items() if name != "attention_mask")


def test_places_by_hand() -> None:
    """Row 2, column 1 of three rows, eight numbers: column first, then row, each sin then cos."""
    found = grid_positions(3, 8)[2 * 3 + 1].tolist()
    expected = [f(n * w) for n in (1, 2) for f in (math.sin, math.cos) for w in (1.0, 0.01)]
    assert found == pytest.approx(expected, abs=1e-6)
    with pytest.raises(ValueError, match="width of 6"):
        grid_positions(3, 6)


def test_patches_and_dreams_have_places() -> None:
    """As large as what they are added to, or nobody would notice them."""
    network = initial_network(NETWORK, 0)
    assert torch.equal(network.vision_encoder.pos_embed[0, 1:], grid_positions(3, 64))
    places = network.image_decoder_position_embedding[0]
    assert torch.equal(places[-9:], grid_positions(3, 64))
    assert places[:-9].abs().max() < 0.2  # queries have none


def test_it_begins_by_predicting_no_noise() -> None:
    """Whatever it is asked."""
    net = initial_network(NETWORK, 0).action_model.net
    assert not net(torch.randn(2, 3, 7), torch.tensor([5, 50]), torch.randn(2, 3, 64)).any()
