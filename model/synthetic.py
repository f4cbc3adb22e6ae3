"""Random checkpoints in the released format, for demonstrations, benchmarks and tests."""

from __future__ import annotations

import math
import os
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .checkpoint import state_shapes
from .config import DreamHeadConfig, ModelConfig, ResamplerConfig, TowerConfig
from .mask import additive, window_reads

IMAGE = DreamHeadConfig("image", tokens=196, channels=768, layers=2, heads=16)
DEPTH = DreamHeadConfig("depth", tokens=196, channels=256, layers=2, heads=16)
SAM = DreamHeadConfig("sam", tokens=256, channels=256, layers=2, heads=16)

CALVIN = ModelConfig(
    window=10,
    backbone=TowerConfig(width=1024, layers=24, heads=16, hidden=4096),
    vision=TowerConfig(width=768, layers=12, heads=12, hidden=3072),
    text=TowerConfig(width=512, layers=12, heads=8, hidden=2048),
    resampler=ResamplerConfig(latents=16, layers=3, heads=8, head_width=64, hidden=3072),
    dreams=(IMAGE, DEPTH, SAM),
    shared_queries=False,
    queries_per_image=9,
    action_steps=3,
    action_head="dit",
    denoiser=TowerConfig(width=768, layers=12, heads=12, hidden=3072),
)
"""The network released for CALVIN."""

LIBERO = replace(CALVIN, window=7, dreams=(IMAGE, SAM), finger_state=True)
"""The network released for LIBERO."""

SMALL = replace(
    CALVIN,
    backbone=TowerConfig(width=128, layers=2, heads=2, hidden=512),
    vision=replace(CALVIN.vision, layers=2),
    text=replace(CALVIN.text, layers=2),
    denoiser=TowerConfig(width=384, layers=6, heads=4, hidden=1536),
)
"""The structure of CALVIN with an eighth of its parameters; DiT-S as action head."""

SIZES = {"small": SMALL, "calvin": CALVIN, "libero": LIBERO}
"""Every size by the name that a command takes."""


def write_checkpoint(path: str | Path, config: ModelConfig = SMALL, seed: int = 0) -> None:
    """Write random weights as the released training code writes its own.

    A dict with `model_state_dict`, keys with `module.`, float32, only the tensors that inference
    needs. Each tensor depends on seed and name alone. An existing file is replaced when the new
    one is complete. Needs memory for all weights at once.
    """
    path = Path(path)
    state = {f"module.{name}": tensor for name, tensor in random_state(config, seed).items()}
    partial = path.with_name(f".{path.name}.partial")
    try:
        torch.save({"model_state_dict": state}, partial)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def random_state(config: ModelConfig, seed: int = 0) -> dict[str, Tensor]:
    """State dict of a network with `config`, at the scale of a trained one."""
    state = {
        name: torch.from_numpy(_draw(name, shape, seed))
        for name, shape in state_shapes(config).items()
        if name != "attention_mask"
    }
    return {**state, "attention_mask": additive(window_reads(config))}


def _draw(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    mean, deviation = _spread(name, shape)
    values: np.ndarray = generator.standard_normal(shape, np.float32)
    values *= deviation
    values += mean
    return values


def _spread(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """Mean and deviation: matrices keep the variance of their input, gains lie near 1."""
    leaf = name.rpartition(".")[2]
    if leaf.endswith("bias"):
        return 0, 0.02
    if leaf.endswith("weight") and len(shape) == 1:
        return 1, 0.1
    if leaf.endswith("weight") or leaf == "text_projection":
        stored_in_out = name.startswith("transformer_backbone.h.") or leaf == "text_projection"
        inputs = shape[0] if stored_in_out else math.prod(shape[1:])
        return 0, 1 / math.sqrt(inputs)
    return 0, 0.3  # tokens, latents, position embeddings
