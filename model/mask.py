"""The block-wise attention mask as a table.

A row *(reader, read, first, last)* says: a token of kind `reader` in slot i reads tokens of kind
`read` in slots i+first … i+last. A pair of kinds may occur in several rows. Everything that no
row names is forbidden (DreamVLA, arXiv 2507.04447, section 3.3 and figure 3).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .config import ModelConfig

TEXT, STATE, VISION, DREAM, ACTION = range(5)
KINDS = ("text", "state", "vision", "dream", "action")
CONTEXT = (TEXT, STATE, VISION)


class MaskRow(NamedTuple):
    """Tokens of kind `reader` in slot i read kind `read` in slots i+first … i+last."""

    reader: int
    read: int
    first: int
    last: int


def mask_table(config: ModelConfig) -> tuple[MaskRow, ...]:
    """The rules of `config` as rows.

    Context tokens are read by every later and equal step; queries are read by nobody, except a
    step's dream queries by the same step's action queries.
    """
    oldest = 1 - config.window
    rows = [MaskRow(reader, read, oldest, 0) for reader in (*CONTEXT, DREAM) for read in CONTEXT]
    if config.own_observation_only:
        rows += [MaskRow(ACTION, VISION, 0, 0)]
        rows += [MaskRow(ACTION, STATE, 0, 0)] if config.reads_state else []
    else:
        rows += [MaskRow(ACTION, read, oldest, 0) for read in CONTEXT]
    if config.dream_rows:
        rows.append(MaskRow(ACTION, DREAM, 0, 0))
        if config.goal_offset:
            rows.append(MaskRow(DREAM, STATE, config.goal_offset, config.goal_offset))
    return tuple(rows)


def step_kinds(config: ModelConfig) -> tuple[int, ...]:
    """Kind of each of the A + Q + P tokens of one step, in the released order."""
    return (
        (TEXT, STATE)
        + (VISION,) * config.vision_rows
        + (DREAM,) * config.dream_rows
        + (ACTION,) * config.action_steps
    )


def reads(
    table: tuple[MaskRow, ...] | Tensor,
    reader_kind: Tensor,
    reader_slot: Tensor,
    read_kind: Tensor,
    read_slot: Tensor,
) -> Tensor:
    """Which token may read which: bool (T, M) for T readers and M read tokens.

    reader_kind, reader_slot: (T) integers; read_kind, read_slot: (M) integers.
    """
    rows = torch.as_tensor(table).reshape(-1, 4, 1, 1)
    delta = read_slot[None, :] - reader_slot[:, None]  # (T, M)
    hit = (
        (reader_kind[None, :, None] == rows[:, 0])
        & (read_kind[None, None, :] == rows[:, 1])
        & (delta >= rows[:, 2])
        & (delta <= rows[:, 3])
    )
    return hit.any(0)


def window_reads(config: ModelConfig) -> Tensor:
    """The mask of a whole window in the released token order: bool (S·step, S·step)."""
    kind = torch.tensor(step_kinds(config)).repeat(config.window)
    slot = torch.arange(config.window).repeat_interleave(config.step_rows)
    return reads(mask_table(config), kind, slot, kind, slot)


def additive(allowed: Tensor) -> Tensor:
    """0 where a token may be read, -inf elsewhere, as the released code stores it (float32)."""
    return torch.zeros(allowed.shape).masked_fill_(~allowed, float("-inf"))
