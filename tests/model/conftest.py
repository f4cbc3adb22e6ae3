"""A network small enough for every test, and what builds state dicts without weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dreamvla_edge.model.checkpoint import load_network, state_shapes
from dreamvla_edge.model.config import (
    DreamHeadConfig,
    ModelConfig,
    ResamplerConfig,
    TowerConfig,
)
from dreamvla_edge.model.errors import CheckpointError
from dreamvla_edge.model.mask import additive, window_reads
from dreamvla_edge.model.synthetic import random_state

TINY = ModelConfig(
    window=3,
    backbone=TowerConfig(128, 2, 2, 192),
    vision=TowerConfig(64, 1, 1, 96),
    text=TowerConfig(64, 1, 1, 80),
    resampler=ResamplerConfig(latents=2, layers=2, heads=2, head_width=64, hidden=72),
    dreams=(DreamHeadConfig("image", 4, 12, 2, 16), DreamHeadConfig("sam", 5, 6, 1, 16)),
    shared_queries=False,
    queries_per_image=2,
    action_steps=3,
    action_head="dit",
    denoiser=TowerConfig(64, 2, 1, 100),
    frequencies=32,
    image_size=48,
    patch=16,
    text_width=40,
    vocabulary=50,
    context=9,
)


@pytest.fixture
def tiny() -> ModelConfig:
    """No two sizes alike that could be mixed up; the released rule gives all its heads."""
    return TINY


@pytest.fixture
def tiny_state(tiny: ModelConfig) -> dict[str, Tensor]:
    """Random weights of the tiny network under their released names."""
    return random_state(tiny)


@pytest.fixture
def save(tmp_path: Path) -> Callable[[object], Path]:
    """Write one object with torch.save; returns the path."""

    def write(content: object) -> Path:
        path = tmp_path / "checkpoint.pt"
        torch.save(content, path)
        return path

    return write


@pytest.fixture
def refused() -> Callable[[Path], CheckpointError]:
    """The error that loading a file raises; it names the file."""

    def load(path: Path) -> CheckpointError:
        with pytest.raises(CheckpointError) as caught:
            load_network(path)
        assert str(path) in caught.value.found
        return caught.value

    return load


@pytest.fixture
def hollow() -> Callable[[ModelConfig], dict[str, Tensor]]:
    """State dict of a configuration with its mask and its shapes, but one number of memory each."""

    def build(config: ModelConfig) -> dict[str, Tensor]:
        state = {
            name: torch.zeros(()).expand(shape) for name, shape in state_shapes(config).items()
        }
        return {**state, "attention_mask": additive(window_reads(config))}

    return build
