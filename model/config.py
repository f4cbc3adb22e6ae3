"""Every size and variant of a DreamVLA network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

HEAD_WIDTH = 64
"""Width of an attention head in the released towers, backbone and DiT-B."""

RELEASED_DIT_HEADS = {384: 4, 768: 12, 1024: 16}
"""Heads of DiT-S, DiT-B and DiT-L by width (DiT-S keeps four heads of 96)."""

DREAM_HEADS = ("image", "depth", "dino", "sam", "trajectory")
"""Dream heads in the order of their queries within one step."""


@dataclass(frozen=True)
class TowerConfig:
    """A transformer stack: width, number of layers, attention heads and MLP width."""

    width: int
    layers: int
    heads: int
    hidden: int


@dataclass(frozen=True)
class ResamplerConfig:
    """Perceiver resampler: learned latents, layers, heads of `head_width`, MLP width."""

    latents: int
    layers: int
    heads: int
    head_width: int
    hidden: int


@dataclass(frozen=True)
class DreamHeadConfig:
    """One dream head: N predicted tokens of `channels` numbers each, from a small ViT."""

    name: str
    tokens: int
    channels: int
    layers: int
    heads: int


@dataclass(frozen=True)
class ModelConfig:
    """One DreamVLA network.

    window: observations S; goal_offset: dream queries also read the state this many slots later
    (0 = no goal attention); own_observation_only: action queries read only their own slot's
    observation tokens, with `reads_state` also its state; shared_queries: one set of queries,
    a part of its width for each dream head; finger_state: the state ends in two finger positions
    instead of one gripper command; guidance: scale of classifier-free guidance;
    sampler_steps: DDIM steps.
    """

    window: int
    backbone: TowerConfig
    vision: TowerConfig
    text: TowerConfig
    resampler: ResamplerConfig
    dreams: tuple[DreamHeadConfig, ...]
    shared_queries: bool
    queries_per_image: int
    action_steps: int
    action_head: Literal["dit", "mlp"]
    denoiser: TowerConfig | None
    frequencies: int = 256
    image_size: int = 224
    patch: int = 16
    text_width: int = 512
    vocabulary: int = 49408
    context: int = 77
    finger_state: bool = False
    goal_offset: int = 0
    own_observation_only: bool = False
    reads_state: bool = False
    guidance: float = 1.5
    sampler_steps: int = 10

    @property
    def context_rows(self) -> int:
        """A: tokens of one step that later steps may read (text, state, vision)."""
        return 2 + self.vision_rows

    @property
    def vision_rows(self) -> int:
        """Vision tokens of one step: R latents and one CLS token for each of two cameras."""
        return 2 * self.resampler.latents + 2

    @property
    def dream_rows(self) -> int:
        """Q: dream queries of one step, both cameras."""
        sets = min(1, len(self.dreams)) if self.shared_queries else len(self.dreams)
        return 2 * self.queries_per_image * sets

    @property
    def step_rows(self) -> int:
        """All tokens of one step in the released order: A + Q + P."""
        return self.context_rows + self.dream_rows + self.action_steps

    @property
    def state_size(self) -> int:
        """Length of the raw state vector."""
        return 8 if self.finger_state else 7
