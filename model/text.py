"""The CLIP text tower (arXiv 2103.00020)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .attention import attend, merge_heads, split_heads
from .config import ModelConfig


class QuickGelu(nn.Module):
    """x·sigmoid(1.702·x), the GELU approximation that CLIP was trained with."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return x * torch.sigmoid(1.702 * x)


class PackedAttention(nn.Module):
    """Self-attention under the parameter names of `torch.nn.MultiheadAttention`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.zeros(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(n, T, width), additive mask (T, T) → (n, T, width)."""
        qkv = nn.functional.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = (split_heads(part, self.heads) for part in qkv.chunk(3, -1))
        out: Tensor = self.out_proj(merge_heads(attend(q, k, v, mask)))
        return out


class TextBlock(nn.Module):
    """Pre-norm causal block with QuickGELU."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attn = PackedAttention(width, heads)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = nn.Sequential()
        self.mlp.add_module("c_fc", nn.Linear(width, hidden))
        self.mlp.add_module("gelu", QuickGelu())
        self.mlp.add_module("c_proj", nn.Linear(hidden, width))
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """(n, T, width), additive mask (T, T) → (n, T, width)."""
        x = x + self.attn(self.ln_1(x), mask)
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class TextEncoder(nn.Module):
    """CLIP's text tower: the feature at the end token times `text_projection`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        tower = config.text
        self.token_embedding = nn.Embedding(config.vocabulary, tower.width)
        self.positional_embedding = nn.Parameter(torch.zeros(config.context, tower.width))
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(
            TextBlock(tower.width, tower.heads, tower.hidden) for _ in range(tower.layers)
        )
        self.ln_final = nn.LayerNorm(tower.width)
        self.text_projection = nn.Parameter(torch.zeros(tower.width, config.text_width))
        causal = torch.full((config.context, config.context), float("-inf")).triu_(1)
        self.register_buffer("causal", causal, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (n, 77) → features (n, text_width); the end token has the largest id."""
        x = self.token_embedding(tokens) + self.positional_embedding
        for block in self.transformer.resblocks:  # type: ignore[union-attr]
            x = block(x, self.causal)
        x = self.ln_final(x)
        end = tokens.argmax(-1)
        out: Tensor = x[torch.arange(len(x)), end] @ self.text_projection
        return out
