"""The noise schedule of the action head, and its DDIM sampler."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

TRAINING_STEPS = 100


def alpha_bar(steps: int = TRAINING_STEPS) -> Tensor:
    """Cumulative signal level ᾱ at t = 0 … steps-1, float64 (squared cosine, arXiv 2102.09672).

    β is capped at 0.999.
    """

    def level(u: float) -> float:
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

    betas = [min(1 - level((t + 1) / steps) / level(t / steps), 0.999) for t in range(steps)]
    return torch.cumprod(1 - torch.tensor(betas, dtype=torch.float64), 0)


def ddim(noise: Tensor, predict: Callable[[Tensor, Tensor], Tensor], steps: int = 10) -> Tensor:
    """Deterministic DDIM (arXiv 2010.02502, equation 12 with σ = 0) on the released grid.

    noise (n, P, 7); predict(x, t (n)) → noise. The grid is t = 100 - 100/steps, …, 0 and the last
    step goes to ᾱ = 1. Returns x₀ (n, P, 7); nothing is clipped.
    """
    if TRAINING_STEPS % steps:
        raise ValueError(f"{steps} DDIM steps do not divide {TRAINING_STEPS}")
    stride = TRAINING_STEPS // steps
    levels, x = alpha_bar().float(), noise
    for t in range(TRAINING_STEPS - stride, -1, -stride):
        here = levels[t]
        there = levels[t - stride] if t >= stride else torch.ones(())
        epsilon = predict(x, torch.full((len(x),), t))
        start = (x - (1 - here).sqrt() * epsilon) / here.sqrt()
        x = there.sqrt() * start + (1 - there).sqrt() * epsilon
    return x
