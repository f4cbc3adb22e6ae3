"""Attention under the block mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Codes = npt.NDArray[np.int32]


def masked_attention(
    q: Array,
    past_k: Array,
    past_v: Array,
    k: Array,
    v: Array,
    row_kind: Codes,
    row_slot: Codes,
    key_kind: Codes,
    key_slot: Codes,
    table: Codes,
    scale: float,
) -> Array:
    """softmax(scale·q·[past_k; k]ᵀ over what a row may read)·[past_v; v].

    q (H, M, d); past_* (H, N, d); k, v (H, T, d); row_* (M); key_* (N + T); table (R, 4) rows
    (reader, read, first, last), see `dreamvla_edge.model.mask` → (H, M, d), all in q's type.
    """
    allowed = readable(row_kind, row_slot, key_kind, key_slot, table)
    keys, values = np.concatenate([past_k, k], 1), np.concatenate([past_v, v], 1)
    score = q @ keys.transpose(0, 2, 1) * q.dtype.type(scale)
    score = np.where(allowed, score, q.dtype.type(-np.inf))
    weight = np.exp(score - score.max(-1, keepdims=True))
    out: Array = (weight / weight.sum(-1, keepdims=True)) @ values
    return out


def readable(
    row_kind: Codes, row_slot: Codes, key_kind: Codes, key_slot: Codes, table: Codes
) -> npt.NDArray[np.bool_]:
    """Which row may read which key, bool (M, N + T)."""
    ahead = key_slot[None, :] - row_slot[:, None]
    allowed = np.zeros(ahead.shape, bool)
    for reader, read, first, last in table:
        pair = (row_kind[:, None] == reader) & (key_kind[None, :] == read)
        allowed |= pair & (first <= ahead) & (ahead <= last)
    return allowed
