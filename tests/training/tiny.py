"""A network that trains in seconds."""

from __future__ import annotations

import numpy as np
import torch

from dreamvla_edge.model.config import DreamHeadConfig, ModelConfig, ResamplerConfig, TowerConfig
from dreamvla_edge.model.losses import Dream, Windows

TOWER = TowerConfig(width=64, layers=2, heads=1, hidden=128)
NETWORK = ModelConfig(
    window=3,
    backbone=TOWER,
    vision=TOWER,
    text=TowerConfig(width=32, layers=1, heads=1, hidden=64),
    resampler=ResamplerConfig(latents=2, layers=1, heads=1, head_width=64, hidden=64),
    dreams=(
        DreamHeadConfig("image", 9, 192, layers=1, heads=1),
        DreamHeadConfig("depth", 9, 64, layers=1, heads=1),
        DreamHeadConfig("sam", 9, 5, layers=1, heads=1),
    ),
    shared_queries=False,
    queries_per_image=2,
    action_steps=3,
    action_head="dit",
    denoiser=TOWER,
    image_size=24,
    patch=8,
    text_width=32,
)


def windows(config: ModelConfig, count: int, random: np.random.Generator) -> Windows:
    """Windows of noise."""

    def draw(*shape: int) -> torch.Tensor:
        return torch.from_numpy(random.standard_normal(shape).astype(np.float32))

    size, steps = config.image_size, config.action_steps
    tokens = torch.zeros(count, 77, dtype=torch.long)
    tokens[:, 0], tokens[:, 5] = 49406, 49407
    tokens[:, 1:5] = torch.from_numpy(random.integers(1, 49000, (count, 4)))
    return Windows(
        tokens=tokens,
        images=draw(count, config.window, 2, 3, size, size),
        states=draw(count, config.window, 7),
        actions=draw(count, config.window, steps, 7),
        known=torch.ones(count, config.window, steps, dtype=torch.bool),
        slot=1,
        dreams={
            head.name: Dream(
                draw(count, 2, head.tokens, head.channels).abs(),
                torch.ones(count, 2, head.tokens, dtype=torch.bool),
            )
            for head in config.dreams
        },
    )
