"""The subgraphs of the design as wrapper modules around the network.

A wrapper computes exactly what its ONNX file will: eager → wrapper → ONNX → ONNX Runtime is
proven step by step in `tests/export`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from dreamvla_edge.model.attention import merge_heads, split_heads
from dreamvla_edge.model.backbone import BackboneAttention, BackboneBlock, Conv1D
from dreamvla_edge.model.denoiser import ACTION_VALUES
from dreamvla_edge.model.mask import mask_table, step_kinds
from dreamvla_edge.model.network import CAMERAS, DreamVLA

from .operators import block_mask, masked_attention


@dataclass(frozen=True)
class Subgraph:
    """One ONNX file to be written.

    module: the wrapper; inputs and outputs: tensor names in order; example: inputs to trace
    with; dynamic: per input a {axis: dimension name} of the axes whose length may vary.
    """

    name: str
    module: nn.Module
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    example: tuple[Tensor, ...]
    dynamic: tuple[dict[int, str], ...]


class Text(nn.Module):
    """tokens (1, 77) int32 → embedding (1, D)."""

    def __init__(self, network: DreamVLA) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor) -> Tensor:
        """See the class."""
        return self.network.text(tokens.long())


class Vision(nn.Module):
    """Normalised images (2, 3, h, w), primary then wrist → vision rows (A-2, D)."""

    def __init__(self, network: DreamVLA) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        cls, resampled = self.network.see(images)
        parts = [
            self.network.project(cls[i : i + 1], resampled[i : i + 1], camera)
            for i, camera in enumerate(CAMERAS)
        ]
        return torch.cat([rows for _, rows in parts] + [cls for cls, _ in parts], 1)[0]


class Embed(nn.Module):
    """Context rows of n steps and the query rows of one slot.

    text (1, D), states (n, 7 or 8), vision (n, A-2, D), slots (n) int32, query_slot (1) int32
    → context (n·A, D), queries (Q+P, D).
    """

    def __init__(self, network: DreamVLA) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, text: Tensor, states: Tensor, vision: Tensor, slots: Tensor, query_slot: Tensor
    ) -> tuple[Tensor, Tensor]:
        """See the class."""
        context = self.network.context(text, states, vision, slots.long())
        return context.flatten(0, 1), self.network.queries(query_slot.long())[0]


class Backbone(nn.Module):
    """All layers with keys and values as inputs and outputs.

    rows (T, D), kind and slot (T) int32, read (M) int32, past_kind and past_slot (N) int32, then
    past_k, past_v (H, N, d) per layer → k, v (H, T, d) per layer, then features (M, D) of the
    rows `read`. The last layer computes queries and MLP for those rows only.
    """

    def __init__(self, network: DreamVLA) -> None:
        super().__init__()
        self.backbone = network.transformer_backbone
        self.table = [value for row in mask_table(network.config) for value in row]
        last = self.backbone.h[-1]
        assert isinstance(last, BackboneBlock)
        self.last = LastLayerHeads(last.attn)

    def forward(
        self,
        rows: Tensor,
        kind: Tensor,
        slot: Tensor,
        read: Tensor,
        past_kind: Tensor,
        past_slot: Tensor,
        past: tuple[Tensor, ...],
    ) -> tuple[Tensor, ...]:
        """See the class."""
        mask = block_mask(
            kind, slot, torch.cat([past_kind, kind]), torch.cat([past_slot, slot]), self.table
        )
        pick = read.long()
        x, kept = rows, []
        for i, block in enumerate(self.backbone.h):
            assert isinstance(block, BackboneBlock)
            normed = block.ln_1(x)
            if i == len(self.backbone.h) - 1:
                q, k, v = self.last(normed, pick)
                x, mask = x[pick], mask[pick]
            else:
                parts = block.attn.c_attn(normed).chunk(3, -1)
                q, k, v = (split_heads(part, block.attn.heads) for part in parts)
            kept += [k, v]
            scale = float(k.shape[-1]) ** -0.5
            mixed = masked_attention(q, past[2 * i], past[2 * i + 1], k, v, mask, scale)
            x = x + block.attn.c_proj(merge_heads(mixed))
            x = x + block.mlp(block.ln_2(x))
        return (*kept, self.backbone.ln_f(x))


class LastLayerHeads(nn.Module):
    """Queries of the rows `pick`, keys and values of all rows: the packed linear cut in two."""

    def __init__(self, attention: BackboneAttention) -> None:
        super().__init__()
        self.heads = attention.heads
        weight, bias = attention.c_attn.weight.detach(), attention.c_attn.bias.detach()
        width = weight.shape[0]
        self.q, self.kv = Conv1D(width, width), Conv1D(width, 2 * width)
        for part, columns in ((self.q, slice(width)), (self.kv, slice(width, None))):
            part.weight.data = weight[:, columns].contiguous()
            part.bias.data = bias[columns].contiguous()

    def forward(self, x: Tensor, pick: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """X (T, D), pick (M) → q (H, M, d), k and v (H, T, d)."""
        k, v = self.kv(x).chunk(2, -1)
        q = self.q(x[pick])
        return (split_heads(q, self.heads), split_heads(k, self.heads), split_heads(v, self.heads))


class Denoise(nn.Module):
    """One guided noise prediction.

    x (B, P, 7), t (B) int32, features (P, D), guidance (1) → noise (B, P, 7).
    """

    def __init__(self, network: DreamVLA) -> None:
        super().__init__()
        self.net = network.action_model.net

    def forward(self, x: Tensor, t: Tensor, features: Tensor, guidance: Tensor) -> Tensor:
        """See the class."""
        shared = features[None].expand(x.shape[0], -1, -1)
        return self.net.guided(x, t, shared, guidance)


class Head(nn.Module):
    """MLP action head: features (P, D) → actions (P, 7)."""

    def __init__(self, network: DreamVLA) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> Tensor:
        """See the class."""
        return self.network.mlp_action(features)


class Dream(nn.Module):
    """One dream head: dream features (Q, D) → prediction (2 cameras, N, channels)."""

    def __init__(self, network: DreamVLA, name: str) -> None:
        super().__init__()
        self.network, self.name = network, name

    def forward(self, features: Tensor) -> Tensor:
        """See the class."""
        return self.network.dream(self.name, features)


def subgraphs(network: DreamVLA) -> tuple[Subgraph, ...]:
    """Every subgraph that `network` needs, in the order of a step."""
    config = network.config
    return (
        _text(network),
        _vision(network),
        _embed(network),
        _backbone(network),
        _denoise(network) if config.action_head == "dit" else _head(network),
        *(_dream(network, head.name) for head in config.dreams),
    )


def _int32(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int32)


def _text(network: DreamVLA) -> Subgraph:
    tokens = torch.zeros(1, network.config.context, dtype=torch.int32)
    return Subgraph("text", Text(network), ("tokens",), ("text",), (tokens,), ({},))


def _vision(network: DreamVLA) -> Subgraph:
    images = torch.zeros(2, 3, network.config.image_size, network.config.image_size)
    return Subgraph("vision", Vision(network), ("images",), ("vision",), (images,), ({},))


def _embed(network: DreamVLA) -> Subgraph:
    config, n = network.config, 2
    width = config.backbone.width
    example = (
        torch.zeros(1, width),
        torch.zeros(n, config.state_size),
        torch.zeros(n, config.vision_rows, width),
        _int32(0, 1),
        _int32(1),
    )
    return Subgraph(
        "embed",
        Embed(network),
        ("text", "states", "vision", "slots", "query_slot"),
        ("context", "queries"),
        example,
        ({}, {0: "n"}, {0: "n"}, {0: "n"}, {}),
    )


def _backbone(network: DreamVLA) -> Subgraph:
    config = network.config
    tower, kinds = config.backbone, step_kinds(config)
    rows, past, layers = len(kinds), config.context_rows, range(tower.layers)
    head_width = tower.width // tower.heads
    cache = tuple(torch.zeros(tower.heads, past, head_width) for _ in range(2 * tower.layers))
    example: tuple[Any, ...] = (
        torch.zeros(rows, tower.width),
        _int32(*kinds),
        _int32(*[1] * rows),
        _int32(*range(rows - config.action_steps, rows)),
        _int32(*kinds[:past]),
        _int32(*[0] * past),
        cache,
    )
    past_names = tuple(f"past_{part}{layer}" for layer in layers for part in "kv")
    new_names = tuple(f"{part}{layer}" for layer in layers for part in "kv")
    rest = ({0: "T"}, {0: "T"}, {0: "T"}, {0: "M"}, {0: "N"}, {0: "N"})
    return Subgraph(
        "backbone",
        Backbone(network),
        ("rows", "kind", "slot", "read", "past_kind", "past_slot", *past_names),
        (*new_names, "features"),
        example,
        (*rest, *({1: "N"} for _ in past_names)),
    )


def _denoise(network: DreamVLA) -> Subgraph:
    config, batch = network.config, 2
    return Subgraph(
        "denoise",
        Denoise(network),
        ("x", "t", "features", "guidance"),
        ("noise",),
        (
            torch.zeros(batch, config.action_steps, ACTION_VALUES),
            _int32(*range(batch)),
            torch.zeros(config.action_steps, config.backbone.width),
            torch.ones(1),
        ),
        ({0: "B"}, {0: "B"}, {}, {}),
    )


def _head(network: DreamVLA) -> Subgraph:
    features = torch.zeros(network.config.action_steps, network.config.backbone.width)
    return Subgraph("head", Head(network), ("features",), ("actions",), (features,), ({},))


def _dream(network: DreamVLA, name: str) -> Subgraph:
    config = network.config
    features = torch.zeros(config.dream_rows, config.backbone.width)
    return Subgraph(
        f"dream_{name}", Dream(network, name), ("features",), ("prediction",), (features,), ({},)
    )
