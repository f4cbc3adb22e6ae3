"""Action heads: the diffusion transformer and the MLP."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .attention import Mlp, SelfAttention
from .config import ModelConfig

ARM_VALUES, ACTION_VALUES = 6, 7


class LinearEmbedder(nn.Module):
    """A linear under the key `linear`."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, width)

    def forward(self, x: Tensor) -> Tensor:
        """(…, inputs) → (…, width)."""
        out: Tensor = self.linear(x)
        return out


class ConditionEmbedder(LinearEmbedder):
    """Projects action features; `uncondition` stands for them in the guidance-free branch."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)
        self.uncondition = nn.Parameter(torch.zeros(1, inputs))


class TimestepEmbedder(nn.Module):
    """Sinusoidal features of the diffusion time, then linear, SiLU, linear."""

    frequencies: Tensor

    def __init__(self, width: int, frequencies: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(frequencies, width), nn.SiLU(), nn.Linear(width, width))
        half = frequencies // 2
        exponent = torch.arange(half, dtype=torch.float32) / half
        self.register_buffer(
            "frequencies", torch.exp(-math.log(10000.0) * exponent), persistent=False
        )

    def forward(self, t: Tensor) -> Tensor:
        """Times (n) → (n, width); cosines come before sines."""
        angle = t.to(self.frequencies.dtype)[:, None] * self.frequencies
        out: Tensor = self.mlp(torch.cat([angle.cos(), angle.sin()], -1))
        return out


class DenoiserBlock(nn.Module):
    """Pre-norm block; its norms have no parameters, its GELU is the tanh form."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.attn = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.mlp = Mlp(width, hidden, "tanh")

    def forward(self, x: Tensor) -> Tensor:
        """(n, T, width) → (n, T, width)."""
        x = x + self.attn(self.norm1(x))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class FinalLayer(nn.Module):
    """Parameter-free norm and a linear to one action."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_final = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.linear = nn.Linear(width, ACTION_VALUES)

    def forward(self, x: Tensor) -> Tensor:
        """(…, width) → (…, 7)."""
        out: Tensor = self.linear(self.norm_final(x))
        return out


class Denoiser(nn.Module):
    """Diffusion transformer whose condition is a prefix of tokens (DiT, arXiv 2212.09748)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        tower = config.denoiser
        if tower is None:
            raise ValueError("this configuration has no denoiser")
        self.steps = config.action_steps
        self.positional_embedding = nn.Parameter(torch.zeros(2 * self.steps, tower.width))
        self.x_embedder = LinearEmbedder(ACTION_VALUES, tower.width)
        self.t_embedder = TimestepEmbedder(tower.width, config.frequencies)
        self.z_embedder = ConditionEmbedder(config.backbone.width, tower.width)
        self.blocks = nn.ModuleList(
            DenoiserBlock(tower.width, tower.heads, tower.hidden) for _ in range(tower.layers)
        )
        self.final_layer = FinalLayer(tower.width)

    def forward(self, x: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """Noisy actions (n, P, 7), times (n), condition (n, P, D) → noise (n, P, 7)."""
        condition = self.t_embedder(t)[:, None] + self.z_embedder(z)
        tokens = torch.cat([condition, self.x_embedder(x)], 1) + self.positional_embedding
        for block in self.blocks:
            tokens = block(tokens)
        out: Tensor = self.final_layer(tokens[:, self.steps :])
        return out

    def guided(self, x: Tensor, t: Tensor, features: Tensor, guidance: Tensor | float) -> Tensor:
        """Noise under classifier-free guidance (arXiv 2207.12598): ε_u + w·(ε_c - ε_u).

        x (n, P, 7), t (n), features (n, P, D), guidance w → (n, P, 7); both branches share x.
        """
        uncondition = self.z_embedder.uncondition.expand_as(features)
        both = self(torch.cat([x, x]), torch.cat([t, t]), torch.cat([features, uncondition]))
        conditioned, unconditioned = both.reshape(2, *x.shape).unbind(0)
        out: Tensor = unconditioned + guidance * (conditioned - unconditioned)
        return out


class ActionModel(nn.Module):
    """Holds the denoiser under the released key `action_model.net`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.net = Denoiser(config)
