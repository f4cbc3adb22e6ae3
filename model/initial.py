"""A network before training."""

from __future__ import annotations

import math

import torch
from torch import nn

from .config import ModelConfig
from .dream import KEYS
from .network import DreamVLA

_SPREAD = 0.02  # of tokens, positions and embeddings (GPT-2, BERT, MAE)


def initial_network(config: ModelConfig, seed: int) -> DreamVLA:
    """A network with weights from nothing but a seed.

    Matrices keep the variance of what they read; those that end a residual branch begin small
    (GPT-2's rule); the denoiser begins by predicting nothing (DiT, arXiv 2212.09748, section 3.2).
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
        for head in config.dreams:
            if head.name == "depth":  # above the ReLU's kink: what never shows is never learnt
                nn.init.ones_(network.get_parameter(f"{KEYS[head.name].linear}.bias"))
        if config.action_head == "dit":
            nn.init.zeros_(network.action_model.net.final_layer.linear.weight)
    return network


_ENDS = ("attn.proj.weight", "out_proj.weight", "fc2.weight", "c_proj.weight", "to_out.weight")
"""Matrices at the end of a residual branch."""
