"""Constants inside the network that random golden weights hardly show, listed by name."""

from __future__ import annotations

import math
from dataclasses import replace
from fnmatch import fnmatchcase

import pytest
import torch
from torch import nn

from dreamvla_edge.model.config import DREAM_HEADS, DreamHeadConfig
from dreamvla_edge.model.network import DreamVLA
from dreamvla_edge.model.synthetic import SMALL
from dreamvla_edge.model.text import QuickGelu

ALL_HEADS = tuple(DreamHeadConfig(name, 4, 5, 2, 16) for name in DREAM_HEADS)
DIFFUSION = replace(SMALL, dreams=ALL_HEADS)
MLP = replace(SMALL, dreams=ALL_HEADS, action_head="mlp", denoiser=None)

# Layer norms: epsilon and whether the norm has parameters.
NORMS = {
    "clip_model.transformer.resblocks.?.ln_[12]": (1e-5, True),
    "clip_model.ln_final": (1e-5, True),
    "vision_encoder.blocks.?.norm[12]": (1e-6, True),
    "vision_encoder.norm": (1e-6, True),
    "perceiver_resampler.layers.?.0.norm_media": (1e-5, True),
    "perceiver_resampler.layers.?.0.norm_latents": (1e-5, True),
    "perceiver_resampler.layers.?.1.0": (1e-5, True),
    "perceiver_resampler.norm": (1e-5, True),
    "embedding_layer_norm": (1e-5, True),
    "transformer_backbone.h.?.ln_[12]": (1e-5, True),
    "transformer_backbone.ln_f": (1e-5, True),
    "image_decoder.?.norm[12]": (1e-5, True),
    "image_decoder_norm": (1e-5, True),
    "depth_decoder.?.norm[12]": (1e-5, True),
    "depth_decoder_norm": (1e-5, True),
    "dino_feat_decoder.?.norm[12]": (1e-5, True),
    "dino_decoder_norm": (1e-5, True),
    "sam_feat_decoder.?.norm[12]": (1e-5, True),
    "sam_decoder_norm": (1e-5, True),
    "traj_decoder.?.norm[12]": (1e-5, True),
    "traj_decoder_norm": (1e-5, True),
    "action_model.net.blocks.?.norm[12]": (1e-6, False),
    "action_model.net.final_layer.norm_final": (1e-6, False),
}

EXACT, TANH = "GELU none", "GELU tanh"
ACTIVATIONS = {
    "clip_model.transformer.resblocks.?.mlp.gelu": "QuickGelu",
    "vision_encoder.blocks.?.mlp.act": EXACT,
    "perceiver_resampler.layers.?.1.2": EXACT,
    "transformer_backbone.h.?.mlp.act": TANH,
    "image_decoder.?.mlp.act": EXACT,
    "depth_decoder.?.mlp.act": EXACT,
    "dino_feat_decoder.?.mlp.act": EXACT,
    "sam_feat_decoder.?.mlp.act": EXACT,
    "traj_decoder.?.mlp.act": EXACT,
    "action_model.net.blocks.?.mlp.act": TANH,
    "action_model.net.t_embedder.mlp.1": "SiLU",
}
MLP_ACTIVATIONS = {
    "action_decoder.[13]": "ReLU",
    "arm_action_decoder.1": "Tanh",
    "gripper_action_decoder.1": "Sigmoid",
}


@pytest.fixture(scope="module")
def networks() -> list[DreamVLA]:
    """One network with each action head, all dream heads, no memory."""
    with torch.device("meta"):
        return [DreamVLA(DIFFUSION), DreamVLA(MLP)]


def matched(found: dict[str, object], listed: dict[str, object]) -> None:
    """Every name found matches exactly one pattern, with its value; no pattern is idle."""
    for name, value in found.items():
        assert [listed[pattern] for pattern in listed if fnmatchcase(name, pattern)] == [value], (
            name
        )
    assert [p for p in listed if not any(fnmatchcase(name, p) for name in found)] == []


def test_layer_norms(networks: list[DreamVLA]) -> None:
    """The epsilon of every layer norm: 1e-6 in the vision tower and in the denoiser."""
    found: dict[str, object] = {
        name: (module.eps, module.elementwise_affine)
        for network in networks
        for name, module in network.named_modules()
        if isinstance(module, nn.LayerNorm)
    }
    matched(found, dict(NORMS))


def test_activations(networks: list[DreamVLA]) -> None:
    """The form of every activation: tanh GELU in the backbone and in the denoiser."""
    kinds = (nn.GELU, nn.SiLU, nn.ReLU, nn.Tanh, nn.Sigmoid, QuickGelu)
    found: dict[str, object] = {}
    for network in networks:
        for name, module in network.named_modules():
            if isinstance(module, kinds):
                form = [module.approximate] if isinstance(module, nn.GELU) else []
                found[name] = " ".join([type(module).__name__, *form])
    matched(found, {**ACTIVATIONS, **MLP_ACTIVATIONS})


def test_quick_gelu() -> None:
    """x·sigmoid(1.702·x), number by number; neither form of GELU."""
    values = [-3.0, -1.0, -0.25, 0.0, 0.5, 2.0, 6.0]
    expected = [x / (1 + math.exp(-1.702 * x)) for x in values]
    found = QuickGelu()(torch.tensor(values))
    torch.testing.assert_close(found, torch.tensor(expected))
    assert float((found - nn.GELU("tanh")(torch.tensor(values))).abs().max()) > 1e-3


def test_time_features() -> None:
    """Cosines of t·10000^(-k/n) before the sines, n each."""
    with torch.device("cpu"):
        network = DreamVLA(replace(SMALL, frequencies=8))
    seen: list[torch.Tensor] = []
    embedder = network.action_model.net.t_embedder
    embedder.mlp.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    embedder(torch.tensor([0, 7, 90]))
    angles = [[t * 10000 ** (-k / 4) for k in range(4)] for t in (0, 7, 90)]
    expected = [[math.cos(a) for a in row] + [math.sin(a) for a in row] for row in angles]
    torch.testing.assert_close(seen[0], torch.tensor(expected), atol=1e-5, rtol=0)
