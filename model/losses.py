"""What DreamVLA is trained to do: act, and dream what comes (arXiv 2507.04447, section 3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .dream import dream
from .network import CAMERAS, DreamVLA
from .schedule import TRAINING_STEPS, alpha_bar

WEIGHTS = {"action": 1.0, "image": 0.1, "depth": 0.001, "sam": 0.01, "dino": 0.01}
"""Weight of each loss in the sum, as released; there is none for trajectories."""
_DROPOUT = 0.1  # of the condition, so that there is an unconditional branch to guide with
_DRAWS = 4  # of noise and time for one set of action features: the denoiser is the cheap part
_NEAR_M = 1e-3


@dataclass(frozen=True, eq=False)
class Dream:
    """What one head should have predicted: target (m, 2, N, C), and where it counts (m, 2, N)."""

    target: Tensor
    counts: Tensor


@dataclass(frozen=True, eq=False)
class Windows:
    """B windows of S steps, and what came after each of them.

    tokens (B, 77); images (B, S, 2, 3, h, w), normalised, or what the vision path makes of them:
    seen (B, S, 2, 1 + R, W), CLS and resampled tokens; states (B, S, 7 or 8);
    actions (B, S, P, 7): in the head's numbers, gripper 0 or 1; known (B, S, P): False after the
    end of an episode; slot: the one whose dreams are trained; dreams: by head, of that slot (B, …).
    """

    tokens: Tensor
    images: Tensor | None
    states: Tensor
    actions: Tensor
    known: Tensor
    slot: int = 0
    seen: Tensor | None = None
    dreams: Mapping[str, Dream] = field(default_factory=dict)


def losses(network: DreamVLA, windows: Windows, random: torch.Generator) -> dict[str, Tensor]:
    """Every loss by name, without its weight.

    Actions are learnt at every slot, as released. Dreams are learnt at one, which costs a
    window's share and is the same on average over slots drawn at random. Raises ValueError for
    the MLP head, which was not released with a way to train it.
    """
    if network.config.action_head != "dit":
        raise ValueError("only a network with the diffusion head can be trained")
    features = features_of(network, windows)
    steps = network.config.action_steps
    # float32: the sums below are over many small numbers.
    acting = features[:, :, -steps:].flatten(0, 1).float()
    found = {
        "action": action_loss(
            network, acting, windows.actions.flatten(0, 1), windows.known.flatten(0, 1), random
        )
    }
    asked = features[:, windows.slot, -steps - network.config.dream_rows : -steps]
    for name, wanted in windows.dreams.items():
        predicted = dream(network, network.config, name, asked).float()
        found[name] = DREAM_LOSSES[name](predicted, wanted.target, wanted.counts)
    return found


def features_of(network: DreamVLA, windows: Windows) -> Tensor:
    """Backbone outputs (B, S, A+Q+P, D) of all rows of all slots."""
    batch, length = windows.states.shape[:2]
    slots = torch.arange(length).repeat(batch)
    text = network.text(windows.tokens).repeat_interleave(length, 0)[:, None]
    if windows.seen is not None:
        both = windows.seen.flatten(0, 1)
        cls, patches = both[:, :, 0], both[:, :, 1:]
    elif windows.images is not None:
        images = windows.images.flatten(0, 2)
        cls, patches = (part.reshape(-1, 2, *part.shape[1:]) for part in network.see(images))
    else:
        raise ValueError("windows without anything to see")
    seen = [network.project(cls[:, i], patches[:, i], name) for i, name in enumerate(CAMERAS)]
    vision = torch.cat([rows for _, rows in seen] + [rows for rows, _ in seen], 1)
    context = network.context(text, windows.states.flatten(0, 1), vision, slots)
    rows = torch.cat([context, network.queries(slots)], 1)
    together = rows.reshape(batch, -1, rows.shape[-1])
    out: Tensor = network.transformer_backbone(together, network.attention_mask)
    return out.reshape(batch, length, -1, out.shape[-1])


def action_loss(
    network: DreamVLA, features: Tensor, actions: Tensor, known: Tensor, random: torch.Generator
) -> Tensor:
    """Mean squared error of the predicted noise (DDPM, arXiv 2006.11239, equation 14).

    features (n, P, D), actions (n, P, 7), known (n, P). A tenth of the conditions are dropped
    (classifier-free guidance, arXiv 2207.12598, algorithm 1).
    """
    features, actions, known = (
        part.repeat_interleave(_DRAWS, 0) for part in (features, actions, known)
    )
    count = len(actions)
    times = torch.randint(TRAINING_STEPS, (count,), generator=random)
    noise = torch.randn(actions.shape, generator=random)
    level = alpha_bar().float()[times][:, None, None]
    noisy = level.sqrt() * actions + (1 - level).sqrt() * noise
    net = network.action_model.net
    dropped = (torch.rand(count, generator=random) < _DROPOUT)[:, None, None]
    condition = torch.where(dropped, net.z_embedder.uncondition.expand_as(features), features)
    wrong = (net(noisy, times, condition).float() - noise).square().mean(-1)
    return _mean(wrong, known)


def image_loss(predicted: Tensor, target: Tensor, counts: Tensor) -> Tensor:
    """Mean squared error of pixels (…, N, 3·p²), where counts (…, N)."""
    return _mean((predicted - target).square().mean(-1), counts)


def depth_loss(predicted: Tensor, target: Tensor, counts: Tensor) -> Tensor:
    """Scale-invariant logarithmic error of depth [m] (Eigen et al., arXiv 1406.2283, equation 4).

    predicted, target (…, N, p²), counts (…, N); half of the common scale is forgiven. Distances
    below a millimetre are taken as one, since the head's ReLU gives zeros.
    """
    wrong = predicted.clamp(min=_NEAR_M).log() - target.clamp(min=_NEAR_M).log()
    mean = _mean(wrong.mean(-1), counts)
    return _mean(wrong.square().mean(-1), counts) - 0.5 * mean.square()


def feature_loss(predicted: Tensor, target: Tensor, counts: Tensor) -> Tensor:
    """One minus the cosine between features (…, N, C), where counts (…, N)."""
    return _mean(1 - torch.cosine_similarity(predicted, target, -1), counts)


DREAM_LOSSES = {
    "image": image_loss,
    "depth": depth_loss,
    "sam": feature_loss,
    "dino": feature_loss,
}
"""By head."""


def total(found: Mapping[str, Tensor]) -> Tensor:
    """The weighted sum that is minimised."""
    return torch.stack([WEIGHTS[name] * loss for name, loss in found.items()]).sum()


def patch_pixels(images: Tensor, patch: int) -> Tensor:
    """Targets of the image head: (…, 3, h, w) → (…, N, p·p·3), each patch of mean 0, deviation 1.

    Masked autoencoders (arXiv 2111.06377, section 3), channels last.
    """
    *lead, channels, height, width = images.shape
    rows, columns = height // patch, width // patch
    cut = images.reshape(*lead, channels, rows, patch, columns, patch)
    pixels = torch.einsum("...chpwq->...hwpqc", cut).reshape(*lead, rows * columns, -1)
    mean, variance = pixels.mean(-1, keepdim=True), pixels.var(-1, keepdim=True)
    return (pixels - mean) / (variance + 1e-6).sqrt()


def _mean(values: Tensor, counts: Tensor) -> Tensor:
    """Mean of values where counts; 0 where nothing does."""
    counts = counts.to(values.dtype)
    return (values * counts).sum() / counts.sum().clamp(min=1)
