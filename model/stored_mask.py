"""The mask options of a checkpoint, read off its stored attention mask."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from .config import ModelConfig
from .errors import CheckpointError
from .mask import KINDS, STATE, TEXT, additive, step_kinds, window_reads


def with_mask_options(sizes: ModelConfig, stored: Tensor) -> ModelConfig:
    """`sizes` with the mask options that give the stored mask.

    stored: additive mask (S·step, S·step) in the released token order. A few entries tell which
    options to try; then the whole mask is compared. Raises CheckpointError, naming the first
    entry that differs.
    """
    step = sizes.step_rows
    reads = (stored == 0).reshape(sizes.window, step, sizes.window, step)
    own = reads[0, -1, 0]  # what an action query reads of its own step
    own_only = not own[TEXT]
    config = replace(
        sizes,
        own_observation_only=own_only,
        reads_state=own_only and bool(own[STATE]),
        goal_offset=_goal_offset(sizes, reads),
    )
    expected = additive(window_reads(config))
    differing = (stored != expected).nonzero()
    if len(differing):
        row, column = differing[0].tolist()
        raise CheckpointError(
            f"attention_mask is {float(stored[row, column])} for {_token(config, row)} reading "
            f"{_token(config, column)} ({len(differing)} entries differ)",
            f"{float(expected[row, column])} there (0: may read, -inf: may not), by the released "
            f"rules with goal_offset {config.goal_offset}, own_observation_only "
            f"{config.own_observation_only} and reads_state {config.reads_state}",
            "take a checkpoint that was trained with one of the released masks",
        )
    return config


def _goal_offset(sizes: ModelConfig, reads: Tensor) -> int:
    """How many slots later stands the state that the first slot's dream queries read."""
    if not sizes.dream_rows:
        return 0
    later = reads[0, sizes.context_rows, 1:, STATE].nonzero()
    return int(later[0]) + 1 if len(later) else 0


def _token(config: ModelConfig, row: int) -> str:
    slot, place = divmod(row, config.step_rows)
    return f"{KINDS[step_kinds(config)[place]]} token {place} of step {slot}"
