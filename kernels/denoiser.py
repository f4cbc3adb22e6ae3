"""The denoiser's weights as the kernel and its reference take them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Linear:
    """y = (x · weightᵀ) · scale + bias: weight (outputs, inputs), scale and bias (outputs)."""

    weight: Array
    scale: Array
    bias: Array


@dataclass(frozen=True, eq=False)
class Block:
    """The four linear layers of one transformer block."""

    qkv: Linear
    projection: Linear
    fc1: Linear
    fc2: Linear

    @property
    def layers(self) -> tuple[Linear, ...]:
        """In the order of the kernel."""
        return self.qkv, self.projection, self.fc1, self.fc2


@dataclass(frozen=True, eq=False)
class DenoiserWeights:
    """For one grid of diffusion times.

    heads; blocks; condition: linear (W, D) of the features; no_condition (W): what stands for
    its result without guidance; time (n, W): embedded times of the grid; position (2P, W);
    x: linear (W, 7) of the actions; out: linear (7, W) of the noise.
    """

    heads: int
    blocks: tuple[Block, ...]
    condition: Linear
    no_condition: Array
    time: Array
    position: Array
    x: Linear
    out: Linear

    def in_int8(self) -> DenoiserWeights:
        """With the blocks' weights in 8-bit integers, one scale per output."""
        blocks = tuple(Block(*(_in_int8(layer) for layer in b.layers)) for b in self.blocks)
        return replace(self, blocks=blocks)


def denoiser_weights(
    named: Mapping[str, Array], heads: int, times: Sequence[int]
) -> DenoiserWeights:
    """From arrays under the released names (behind `action_model.net.`), for a grid of times.

    A layer's weights may be integers with a `.scale` of each output. Raises KeyError for a name
    that is missing.
    """
    count = 1 + max(int(name.split(".")[1]) for name in named if name.startswith("blocks."))

    def linear(name: str) -> Linear:
        weight = named[f"{name}.weight"]
        scale = named.get(f"{name}.scale", np.ones(len(weight), np.float32))
        return Linear(weight, scale, named[f"{name}.bias"])

    condition = linear("z_embedder.linear")
    return DenoiserWeights(
        heads=heads,
        blocks=tuple(
            Block(
                *(
                    linear(f"blocks.{i}.{part}")
                    for part in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
                )
            )
            for i in range(count)
        ),
        condition=condition,
        no_condition=condition.weight @ named["z_embedder.uncondition"][0] + condition.bias,
        time=_embedded(times, linear("t_embedder.mlp.0"), linear("t_embedder.mlp.2")),
        position=named["positional_embedding"],
        x=linear("x_embedder.linear"),
        out=linear("final_layer.linear"),
    )


def _embedded(times: Sequence[int], first: Linear, second: Linear) -> Array:
    """Times (n) → (n, W): sinusoids, linear, SiLU, linear."""
    half = first.weight.shape[1] // 2
    angle = np.asarray(times, float)[:, None] * np.exp(-math.log(1e4) * np.arange(half) / half)
    hidden = np.concatenate([np.cos(angle), np.sin(angle)], -1) @ first.weight.T + first.bias
    hidden = hidden / (1 + np.exp(-hidden))
    found: Array = hidden @ second.weight.T + second.bias
    return found


def _in_int8(layer: Linear) -> Linear:
    """The nearest integers up to ±127; the scale takes the largest weight of an output there."""
    scale = np.maximum(np.abs(layer.weight).max(1), 1e-12) / 127
    weight = np.clip(np.rint(layer.weight / scale[:, None]), -127, 127).astype(np.int8)
    return Linear(weight, (scale * layer.scale).astype(np.float32), layer.bias)
