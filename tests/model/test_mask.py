"""The block-wise mask against its rules in words, and reading its options off a stored mask."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dreamvla_edge.model.config import DREAM_HEADS, DreamHeadConfig, ModelConfig
from dreamvla_edge.model.errors import CheckpointError
from dreamvla_edge.model.mask import (
    ACTION,
    DREAM,
    KINDS,
    STATE,
    TEXT,
    VISION,
    additive,
    mask_table,
    reads,
    step_kinds,
    window_reads,
)
from dreamvla_edge.model.stored_mask import with_mask_options
from dreamvla_edge.model.synthetic import SMALL

PLAIN = {"goal_offset": 0, "own_observation_only": False, "reads_state": False}


@st.composite
def configs(draw: st.DrawFn, least_window: int = 1) -> ModelConfig:
    """Configurations with few tokens and every combination of mask options."""
    names = draw(st.lists(st.sampled_from(DREAM_HEADS), unique=True, max_size=3))
    ordered = [name for name in DREAM_HEADS if name in names]
    own_only = draw(st.booleans())
    return replace(
        SMALL,
        window=draw(st.integers(least_window, 4)),
        resampler=replace(SMALL.resampler, latents=draw(st.integers(1, 3))),
        dreams=tuple(DreamHeadConfig(name, 4, 5, 1, 16) for name in ordered),
        shared_queries=draw(st.booleans()),
        queries_per_image=draw(st.integers(1, 2)),
        action_steps=draw(st.integers(1, 3)),
        goal_offset=draw(st.integers(0, 5)),
        own_observation_only=own_only,
        reads_state=own_only and draw(st.booleans()),
    )


def names_of_step(config: ModelConfig) -> list[str]:
    """Tokens of one step as the released code lays them out."""
    latents = config.resampler.latents
    names = ["text", "state"]
    names += ["primary latent"] * latents + ["wrist latent"] * latents
    names += ["primary CLS", "wrist CLS"]
    sets = config.dreams[:1] if config.shared_queries else config.dreams
    for head in sets:
        for camera in ("primary", "wrist"):
            names += [f"{head.name} {camera} query"] * config.queries_per_image
    return names + ["action query"] * config.action_steps


def rule(config: ModelConfig, reader: str, i: int, read: str, j: int) -> bool:
    """May a token `reader` of step i read a token `read` of step j? In words, one pair at a time.

    Written from the description of the released mask, without the table.
    """
    is_dream = "query" in reader and reader != "action query"
    if is_dream and config.goal_offset and read == "state" and j == i + config.goal_offset:
        return True
    if j > i:
        return False
    if "query" in read:
        return reader == "action query" and read != "action query" and i == j
    if reader == "action query" and config.own_observation_only:
        if read == "text" or i != j:
            return False
        return config.reads_state if read == "state" else True
    return True


def slow_mask(config: ModelConfig) -> Tensor:
    """The mask by a double loop over all pairs of tokens."""
    tokens = [(name, slot) for slot in range(config.window) for name in names_of_step(config)]
    return torch.tensor(
        [[rule(config, reader, i, read, j) for read, j in tokens] for reader, i in tokens]
    )


@settings(max_examples=60, deadline=None)
@given(config=configs())
def test_the_table_says_the_rules(config: ModelConfig) -> None:
    """Both ways to the mask agree on every pair of tokens."""
    assert torch.equal(window_reads(config), slow_mask(config))


@settings(max_examples=60, deadline=None)
@given(config=configs())
def test_kinds_follow_the_token_order(config: ModelConfig) -> None:
    """Kinds and counts of one step: A context rows, Q dream queries, P action queries."""
    names = names_of_step(config)
    kind_of = {"text": TEXT, "state": STATE, "action query": ACTION}
    kinds = [kind_of.get(name, DREAM if "query" in name else VISION) for name in names]
    assert list(step_kinds(config)) == kinds
    assert config.step_rows == len(names)
    assert config.context_rows == sum("query" not in name for name in names)
    assert config.vision_rows == kinds.count(VISION)
    assert config.dream_rows == kinds.count(DREAM)


@settings(max_examples=60, deadline=None)
@given(config=configs())
def test_the_mask_depends_on_the_distance_only(config: ModelConfig) -> None:
    """Shifting both slots changes nothing, which is what makes keys and values reusable."""
    kind = torch.arange(len(KINDS))
    slot = torch.full_like(kind, 1)
    table = mask_table(config)
    for distance in range(-config.window + 1, config.window):
        first = reads(table, kind, slot, kind, slot + distance)
        assert torch.equal(first, reads(table, kind, slot + 5, kind, slot + 5 + distance))


@settings(max_examples=60, deadline=None)
@given(config=configs())
def test_every_token_reads_something(config: ModelConfig) -> None:
    """A row without entries would turn the softmax into NaN."""
    assert window_reads(config).any(1).all()


def test_additive() -> None:
    """0 where a token may be read, -inf elsewhere, float32."""
    mask = additive(torch.tensor([[True, False]]))
    assert mask.tolist() == [[0.0, float("-inf")]]
    assert mask.dtype == torch.float32


@settings(max_examples=60, deadline=None)
@given(config=configs())
def test_options_from_a_stored_mask(config: ModelConfig) -> None:
    """The options that come back give the stored mask; visible ones are the original ones."""
    found = with_mask_options(replace(config, **PLAIN), additive(window_reads(config)))
    assert torch.equal(window_reads(found), window_reads(config))
    visible = config.goal_offset if config.dreams and config.goal_offset < config.window else 0
    assert found.goal_offset == visible
    assert found.own_observation_only == config.own_observation_only
    assert found.reads_state == config.reads_state


@settings(max_examples=100, deadline=None)
@given(config=configs(least_window=3), where=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_one_changed_entry_is_seen(config: ModelConfig, where: tuple[float, float]) -> None:
    """Over three slots no two released masks differ in a single entry."""
    stored = additive(window_reads(config))
    row, column = (round(part * (len(stored) - 1)) for part in where)
    stored[row, column] = 0.0 if stored[row, column] else float("-inf")
    with pytest.raises(CheckpointError, match=r"attention_mask is (0\.0|-inf) for"):
        with_mask_options(replace(config, **PLAIN), stored)


@pytest.mark.parametrize("value", [float("nan"), -1e9, 1.0, float("inf")])
def test_other_values_are_no_mask(value: float) -> None:
    """Only 0 and -inf: a large negative number would let some weight through."""
    stored = additive(window_reads(SMALL))
    assert with_mask_options(SMALL, stored) == SMALL
    stored[0, -1] = value
    with pytest.raises(CheckpointError) as caught:
        with_mask_options(SMALL, stored)
    assert f"attention_mask is {value} for" in caught.value.found


def test_the_first_difference_is_named() -> None:
    """By kind, place within the step and step, for the row and for the column."""
    stored = additive(window_reads(SMALL))
    step = SMALL.step_rows
    row, column = 4 * step + SMALL.context_rows + 1, 3 * step + 1
    stored[row, column] = float("-inf")  # a dream query of step 4 no longer reads state 3
    stored[row + 1, column] = float("-inf")
    with pytest.raises(CheckpointError) as caught:
        with_mask_options(SMALL, stored)
    assert caught.value.found == (
        "attention_mask is -inf for dream token 37 of step 4 reading state token 1 of step 3 "
        "(2 entries differ)"
    )
    assert caught.value.expected == (
        "0.0 there (0: may read, -inf: may not), by the released rules with goal_offset 0, "
        "own_observation_only False and reads_state False"
    )
    assert caught.value.cure == "take a checkpoint that was trained with one of the released masks"
