"""The exact step in PyTorch: what a new frame costs when the frames before it are known.

The same work as the policy's (docs/architecture.md, "What is exact"): vision of one frame, then the
backbone on its A + Q + P rows over keys and values that were computed ahead. Attention is
PyTorch's own under the block mask; all shapes are fixed, so that a CUDA graph can hold it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from dreamvla_edge.export.operators import block_mask
from dreamvla_edge.export.subgraphs import Backbone, Embed, Vision
from dreamvla_edge.model.attention import merge_heads, split_heads
from dreamvla_edge.model.mask import step_kinds
from dreamvla_edge.model.network import DreamVLA


class Frame(NamedTuple):
    """Normalised images (2, 3, h, w) and a state (7 or 8)."""

    images: Tensor
    state: Tensor


class ExactStep:
    """The step of a full window, on the network's device and in its type.

    text (1, D): of the instruction; known: the S-1 frames before the newest.
    """

    def __init__(self, network: DreamVLA, text: Tensor, known: list[Frame]) -> None:
        self._vision, self._embed = Vision(network), Embed(network)
        self._backbone = Backbone(network)
        self._text, device = text, text.device
        config = network.config
        kinds = torch.tensor(step_kinds(config), dtype=torch.int32)
        rows, count = config.context_rows, len(known)
        context = kinds[:rows].repeat(count)
        slots = torch.arange(count, dtype=torch.int32).repeat_interleave(rows)
        new_slots = torch.full((len(kinds),), count, dtype=torch.int32)
        table = self._backbone.table
        self._known_mask = block_mask(context, slots, context, slots, table).to(device, text.dtype)
        self._mask = block_mask(
            kinds, new_slots, torch.cat([context, kinds]), torch.cat([slots, new_slots]), table
        ).to(device, text.dtype)
        self._slot = torch.tensor([count], dtype=torch.int32, device=device)
        self._read = torch.arange(len(kinds) - config.action_steps, len(kinds), device=device)
        self._past = self._prefilled(known)

    def __call__(self, frame: Frame) -> Tensor:
        """Features (P, D) of the action queries."""
        context, queries = self._embed(
            self._text, frame.state[None], self._vision(frame.images)[None], self._slot, self._slot
        )
        rows = torch.cat([context, queries])
        return self._through(rows, self._mask, self._past, self._read)[0]

    def _prefilled(self, known: list[Frame]) -> list[Tensor]:
        """Keys and values of the known frames, one pair for each layer."""
        slots = torch.arange(len(known), dtype=torch.int32, device=self._text.device)
        vision = torch.stack([self._vision(frame.images) for frame in known])
        states = torch.stack([frame.state for frame in known])
        rows, _ = self._embed(self._text, states, vision, slots, slots[:1])
        nothing = self._text.new_zeros((self._backbone.backbone.h[0].attn.heads, 0, 0))
        layers = len(self._backbone.backbone.h)
        none = [nothing] * (2 * layers)
        return self._through(rows, self._known_mask, none, self._read[:1] * 0)[1]

    def _through(
        self, rows: Tensor, mask: Tensor, past: list[Tensor], read: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Features of the rows `read`, and keys and values of all."""
        blocks = self._backbone.backbone.h
        x, kept = rows, []
        for i, block in enumerate(blocks):
            normed = block.ln_1(x)
            if i == len(blocks) - 1:
                q, k, v = self._backbone.last(normed, read)
                x, mask = x[read], mask[read]
            else:
                parts = block.attn.c_attn(normed).chunk(3, -1)
                q, k, v = (split_heads(part, block.attn.heads) for part in parts)
            kept += [k, v]
            if past[2 * i].numel():
                k, v = (torch.cat([p, n], 1) for p, n in zip(past[2 * i :], (k, v), strict=False))
            mixed = torch.nn.functional.scaled_dot_product_attention(
                *(part[None] for part in (q, k, v)), attn_mask=mask
            )[0]
            x = x + block.attn.c_proj(merge_heads(mixed))
            x = x + block.mlp(block.ln_2(x))
        return self._backbone.backbone.ln_f(x), kept
