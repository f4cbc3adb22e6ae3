"""Dream heads: what the network expects the cameras to show a few steps ahead."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from .attention import VitBlock
from .config import DREAM_HEADS, DreamHeadConfig, ModelConfig

SHARED_PARTS = 4
"""Shared queries are cut in quarters: image, depth, DINO and SAM; the trajectory has none."""


class DreamKeys(NamedTuple):
    """Released names of one head's parameters."""

    queries: str
    mask_token: str
    positions: str
    projector: str
    blocks: str
    norm: str
    linear: str


def _keys(queries: str, prefix: str, blocks: str, mask: str) -> DreamKeys:
    decoder = f"{prefix}_decoder"
    return DreamKeys(
        queries,
        mask,
        f"{decoder}_position_embedding",
        f"{decoder}_obs_pred_projector",
        blocks,
        f"{decoder}_norm",
        f"{decoder}_pred",
    )


KEYS = {
    "image": _keys("obs_tokens", "image", "image_decoder", "mask_token"),
    "depth": _keys("depth_tokens", "depth", "depth_decoder", "depth_mask_token"),
    "dino": _keys("dino_feat_tokens", "dino", "dino_feat_decoder", "dino_mask_token"),
    "sam": _keys("sam_feat_tokens", "sam", "sam_feat_decoder", "sam_mask_token"),
    "trajectory": _keys("trajectory_tokens", "traj", "traj_decoder", "traj_mask_token"),
}


def add_dream_head(network: nn.Module, config: ModelConfig, head: DreamHeadConfig) -> None:
    """Put one head's parameters on `network` under their released names."""
    keys, width, queries = KEYS[head.name], config.backbone.width, config.queries_per_image
    inputs = width // SHARED_PARTS if config.shared_queries else width
    epsilon = 1e-5
    network.register_parameter(keys.mask_token, nn.Parameter(torch.zeros(1, 1, width)))
    positions = torch.zeros(1, queries + head.tokens, width)
    network.register_parameter(keys.positions, nn.Parameter(positions))
    network.add_module(keys.projector, nn.Linear(inputs, width))
    blocks = (VitBlock(width, head.heads, 4 * width, epsilon) for _ in range(head.layers))
    network.add_module(keys.blocks, nn.Sequential(*blocks))
    network.add_module(keys.norm, nn.LayerNorm(width, eps=epsilon))
    network.add_module(keys.linear, nn.Linear(width, head.channels))


def head_features(config: ModelConfig, head: DreamHeadConfig, features: Tensor) -> Tensor:
    """The query outputs that belong to one head, (…, Q, D) → (…, 2 cameras, queries, inputs).

    With shared queries every head reads its own quarter of the width of the same rows.
    """
    index, queries = [h.name for h in config.dreams].index(head.name), config.queries_per_image
    if config.shared_queries:
        features = features.chunk(SHARED_PARTS, -1)[DREAM_HEADS.index(head.name)]
        index = 0
    start = 2 * queries * index
    mine = features[..., start : start + 2 * queries, :]
    return mine.reshape(*features.shape[:-2], 2, queries, mine.shape[-1])


def dream(network: nn.Module, config: ModelConfig, name: str, features: Tensor) -> Tensor:
    """Prediction of one head from all dream features (…, Q, D) → (…, 2 cameras, N, channels).

    Depth is passed through a ReLU; the other heads are linear.
    """
    head = next(h for h in config.dreams if h.name == name)
    keys = KEYS[name]
    x = network.get_submodule(keys.projector)(head_features(config, head, features))
    blanks = network.get_parameter(keys.mask_token).expand(*x.shape[:-2], head.tokens, -1)
    x = torch.cat([x, blanks], -2) + network.get_parameter(keys.positions)
    x = network.get_submodule(keys.blocks)(x)[..., -head.tokens :, :]
    out: Tensor = network.get_submodule(keys.linear)(network.get_submodule(keys.norm)(x))
    return out.relu() if name == "depth" else out
