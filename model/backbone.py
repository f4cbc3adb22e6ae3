"""The GPT-2 backbone (without embeddings of its own)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .attention import attend, merge_heads, split_heads
from .config import TowerConfig


class Conv1D(nn.Module):
    """A linear whose weight is stored as (in, out), GPT-2's layout."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) → (…, out)."""
        return x @ self.weight + self.bias


class BackboneAttention(nn.Module):
    """Multi-head attention of GPT-2."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.c_attn = Conv1D(width, 3 * width)
        self.c_proj = Conv1D(width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(…, T, width), additive mask (T, T) → (…, T, width)."""
        q, k, v = (split_heads(part, self.heads) for part in self.c_attn(x).chunk(3, -1))
        out: Tensor = self.c_proj(merge_heads(attend(q, k, v, mask)))
        return out


class BackboneMlp(nn.Module):
    """GPT-2's MLP with tanh GELU (`gelu_new`)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.c_fc = Conv1D(width, hidden)
        self.act = nn.GELU("tanh")
        self.c_proj = Conv1D(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(…, width) → (…, width)."""
        out: Tensor = self.c_proj(self.act(self.c_fc(x)))
        return out


class BackboneBlock(nn.Module):
    """Pre-norm GPT-2 block."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.width)
        self.attn = BackboneAttention(config.width, config.heads)
        self.ln_2 = nn.LayerNorm(config.width)
        self.mlp = BackboneMlp(config.width, config.hidden)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(…, T, width), additive mask (T, T) → (…, T, width)."""
        x = x + self.attn(self.ln_1(x), mask)
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class Backbone(nn.Module):
    """GPT-2 blocks and the final norm; one additive mask serves all layers."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.h = nn.ModuleList(BackboneBlock(config) for _ in range(config.layers))
        self.ln_f = nn.LayerNorm(config.width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(…, T, width), additive mask (T, T) → features (…, T, width)."""
        for block in self.h:
            x = block(x, mask)
        out: Tensor = self.ln_f(x)
        return out
