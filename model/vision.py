"""The vision path: MAE encoder and Perceiver resampler."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .attention import VitBlock, attend, merge_heads, split_heads
from .config import ModelConfig, ResamplerConfig


class PatchEmbedding(nn.Module):
    """Cuts an image into patches and projects each: one strided convolution."""

    def __init__(self, width: int, patch: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch, stride=patch)

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, h, w) → (n, patches, width), row by row."""
        out: Tensor = self.proj(images).flatten(2).transpose(1, 2)
        return out


class VisionEncoder(nn.Module):
    """MAE ViT encoder without masking (arXiv 2111.06377).

    The released code shuffles the patches before the blocks. Positions are added before, and
    blocks do not depend on the order of their tokens, so the shuffle is left out.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        tower, patches = config.vision, (config.image_size // config.patch) ** 2
        self.cls_token = nn.Parameter(torch.zeros(1, 1, tower.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, patches + 1, tower.width))
        self.patch_embed = PatchEmbedding(tower.width, config.patch)
        self.blocks = nn.ModuleList(
            VitBlock(tower.width, tower.heads, tower.hidden, 1e-6) for _ in range(tower.layers)
        )
        self.norm = nn.LayerNorm(tower.width, eps=1e-6)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised images (n, 3, h, w) → CLS (n, width) and patches (n, patches, width)."""
        x = self.patch_embed(images) + self.pos_embed[:, 1:]
        cls = (self.cls_token + self.pos_embed[:, :1]).expand(x.shape[0], -1, -1)
        x = torch.cat([cls, x], 1)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return x[:, 0], x[:, 1:]


class PerceiverAttention(nn.Module):
    """Latents attend to [media ; latents] (Flamingo, arXiv 2204.14198, appendix A.1.1)."""

    def __init__(self, width: int, config: ResamplerConfig) -> None:
        super().__init__()
        inner = config.heads * config.head_width
        self.heads = config.heads
        self.norm_media = nn.LayerNorm(width)
        self.norm_latents = nn.LayerNorm(width)
        self.to_q = nn.Linear(width, inner, bias=False)
        self.to_kv = nn.Linear(width, 2 * inner, bias=False)
        self.to_out = nn.Linear(inner, width, bias=False)

    def forward(self, media: Tensor, latents: Tensor) -> Tensor:
        """Media (n, m, width), latents (n, R, width) → (n, R, width)."""
        latents = self.norm_latents(latents)
        q = split_heads(self.to_q(latents), self.heads)
        kv = self.to_kv(torch.cat([self.norm_media(media), latents], 1))
        k, v = (split_heads(part, self.heads) for part in kv.chunk(2, -1))
        out: Tensor = self.to_out(merge_heads(attend(q, k, v)))
        return out


class Resampler(nn.Module):
    """Perceiver resampler: a fixed number of tokens per image, shared by both cameras."""

    def __init__(self, width: int, config: ResamplerConfig) -> None:
        super().__init__()
        self.latents = nn.Parameter(torch.zeros(config.latents, width))
        self.layers = nn.ModuleList(
            nn.ModuleList(
                [
                    PerceiverAttention(width, config),
                    nn.Sequential(
                        nn.LayerNorm(width),
                        nn.Linear(width, config.hidden, bias=False),
                        nn.GELU(),
                        nn.Linear(config.hidden, width, bias=False),
                    ),
                ]
            )
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, patches: Tensor) -> Tensor:
        """(n, patches, width) → (n, R, width)."""
        latents = self.latents.expand(patches.shape[0], -1, -1)
        for layer in self.layers:
            latents = latents + layer[0](patches, latents)  # type: ignore[index]
            latents = latents + layer[1](latents)  # type: ignore[index]
        out: Tensor = self.norm(latents)
        return out
