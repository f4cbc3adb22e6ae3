"""A diffusion transformer under a sampler given as a table."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamvla_edge.kernels.denoiser import DenoiserWeights, Linear
from dreamvla_edge.kernels.table import STEEPEST, STILL, SamplerTable

Array = npt.NDArray[Any]


def denoise(weights: DenoiserWeights, table: SamplerTable, features: Array, noise: Array) -> Array:
    """Actions (P, 7) from features (P, D) and noise (P, 7), in the type of `features`."""
    kind = features.dtype.type
    clean, slope, visited = np.zeros((3, len(table.signal), *noise.shape), kind)
    signal, sigma = (level.astype(kind)[:, None, None] for level in (table.signal, table.sigma))
    for now in table.evaluations:
        points = slice(now.first, now.end)
        if now.secant:
            x = _states_along_secants(table, noise.astype(kind), clean, slope, visited)[points]
        else:
            x = _states(table, noise.astype(kind), clean)[points]
        epsilon = predict_noise(weights, table, features, x, np.arange(now.first, now.end))
        new = (x - sigma[points] * epsilon) / signal[points]
        if now.secant:
            move = x - visited[points]
            secant = move * (new - clean[points]) / (move * move + kind(STILL))
            slope[points] = np.clip(secant, -STEEPEST, STEEPEST)
        clean[points], visited[points] = new, x
        if now.spread:
            clean[now.end :] = new
    last: Array = clean[-1]
    return last


def _states(table: SamplerTable, noise: Array, clean: Array) -> Array:
    """States x (n, P, 7) of all points."""
    known = np.concatenate([noise[None], clean])
    found: Array = np.tensordot(table.coefficients.astype(noise.dtype), known, 1)
    return found


def _states_along_secants(
    table: SamplerTable, noise: Array, clean: Array, slope: Array, visited: Array
) -> Array:
    c, found = table.coefficients, [noise]
    for i in range(len(clean) - 1):
        moved_on = clean[i] + slope[i] * (found[i] - visited[i])
        factors = np.array([c[i + 1, 0] / c[i, 0], c[i + 1, i + 1]], noise.dtype)
        found.append(factors[0] * found[i] + factors[1] * moved_on)
    return np.stack(found)


def predict_noise(
    weights: DenoiserWeights, table: SamplerTable, features: Array, x: Array, points: Array
) -> Array:
    """Guided noise (n, P, 7) of noisy actions x (n, P, 7) at n points of the grid."""
    condition = _linear(features, weights.condition)
    kind = condition.dtype.type
    free = np.broadcast_to(weights.no_condition.astype(kind), condition.shape)
    branches = (condition, free)[: table.branches]
    found = []
    for branch in branches:
        prefix = weights.time[points].astype(kind)[:, None] + branch[None]
        tokens = np.concatenate([prefix, _linear(x, weights.x)], 1)
        tokens = tokens + weights.position.astype(kind)
        for block in weights.blocks:
            tokens = tokens + _linear(
                _attention(_linear(_norm(tokens), block.qkv), weights.heads), block.projection
            )
            tokens = tokens + _linear(_gelu(_linear(_norm(tokens), block.fc1)), block.fc2)
        found.append(_linear(_norm(tokens[:, x.shape[1] :]), weights.out))
    if table.branches == 1:
        return found[0]
    guided: Array = found[1] + kind(table.guidance) * (found[0] - found[1])
    return guided


def _linear(x: Array, layer: Linear) -> Array:
    weight = layer.weight.astype(x.dtype) * layer.scale.astype(x.dtype)[:, None]
    out: Array = x @ weight.T + layer.bias.astype(x.dtype)
    return out


def _norm(x: Array) -> Array:
    # Sums of squares in float32 at least: in halves they overflow, and a reference that is wrong
    # there would allow the kernel anything.
    centred = x - x.mean(-1, keepdims=True)
    variance = (
        np.square(centred.astype(np.promote_types(x.dtype, np.float32)))
        .mean(-1, keepdims=True)
        .astype(x.dtype)
    )
    out: Array = centred / np.sqrt(variance + x.dtype.type(1e-6))
    return out


def _gelu(x: Array) -> Array:
    inner = x.dtype.type(math.sqrt(2 / math.pi)) * (x + x.dtype.type(0.044715) * x * x * x)
    out: Array = x.dtype.type(0.5) * x * (1 + np.tanh(inner))
    return out


def _attention(qkv: Array, heads: int) -> Array:
    n, tokens, width = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    q, k, v = qkv.reshape(n, tokens, 3, heads, -1).transpose(2, 0, 3, 1, 4)
    score = q @ k.transpose(0, 1, 3, 2) * qkv.dtype.type((width // heads) ** -0.5)
    weight = np.exp(score - score.max(-1, keepdims=True))
    mixed = (weight / weight.sum(-1, keepdims=True)) @ v
    out: Array = mixed.transpose(0, 2, 1, 3).reshape(n, tokens, width)
    return out
