"""A network before training."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .config import ModelConfig
from .dream import KEYS
from .network import DreamVLA

_SPREAD = 0.02  # of tokens, positions and embeddings (GPT-2, BERT, MAE)


def initial_network(config: ModelConfig, seed: int) -> DreamVLA:
    """A network with weights from nothing but a seed.

    Matrices keep the variance of what they read; those that end a residual branch begin small
    (GPT-2's rule); the denoiser begins by predicting nothing (DiT, arXiv 2212.09748, section 3.2);
    patches know from the start where they are (sines and cosines, as in MAE, arXiv 2111.06377).
    """
    network = DreamVLA(config)
    random = torch.Generator().manual_seed(seed)
    layers = {
        "transformer_backbone": config.backbone.layers,
        "vision_encoder": config.vision.layers,
        "clip_model": config.text.layers,
        "action_model": config.denoiser.layers if config.denoiser else 1,
    }
    with torch.no_grad():
        for name, weight in network.named_parameters():
            leaf = name.rpartition(".")[2]
            if leaf.endswith("bias"):
                weight.zero_()
            elif weight.ndim == 1:
                weight.fill_(1.0)
            elif "weight" in leaf or leaf == "text_projection":
                if "embedding" in name:
                    spread = _SPREAD
                else:
                    stored_in_out = "transformer_backbone.h." in name or leaf == "text_projection"
                    inputs = weight.shape[0] if stored_in_out else weight[0].numel()
                    spread = 1 / math.sqrt(inputs)
                if name.endswith(_ENDS):
                    spread /= math.sqrt(2 * layers.get(name.partition(".")[0], 1))
                weight.normal_(0, spread, generator=random)
            else:
                weight.normal_(0, _SPREAD, generator=random)
        patches = grid_positions(config.image_size // config.patch, config.vision.width)
        network.vision_encoder.pos_embed[0, 1:] = patches
        for head in config.dreams:
            rows = math.isqrt(head.tokens)
            places = network.get_parameter(KEYS[head.name].positions)
            places[0, -head.tokens :] = grid_positions(rows, config.backbone.width)
            if head.name == "depth":  # above the ReLU's kink: what never shows is never learnt
                nn.init.ones_(network.get_parameter(f"{KEYS[head.name].linear}.bias"))
        if config.action_head == "dit":
            nn.init.zeros_(network.action_model.net.final_layer.linear.weight)
    return network


def grid_positions(rows: int, width: int) -> Tensor:
    """Embeddings (rows², width) of the patches of a square picture, row by row.

    A half tells the column and a half the row, each as sines and cosines of its number times
    10000^(-k/n) (Vaswani et al., arXiv 1706.03762, section 3.5). Raises ValueError if the width
    is no multiple of 4.
    """
    if width % 4:
        raise ValueError(f"a width of {width} cannot hold sines and cosines of rows and columns")
    count = width // 4
    angles = torch.arange(rows)[:, None] * 10000.0 ** (-torch.arange(count) / count)
    line = torch.cat([angles.sin(), angles.cos()], -1)
    across, down = line.expand(rows, rows, -1), line[:, None].expand(rows, rows, -1)
    return torch.cat([across, down], -1).reshape(rows * rows, width)


_ENDS = ("attn.proj.weight", "out_proj.weight", "fc2.weight", "c_proj.weight", "to_out.weight")
"""Matrices at the end of a residual branch."""
