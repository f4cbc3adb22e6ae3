"""The configuration that is read off a checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from dreamvla_edge.model.checkpoint import UNNEEDED, config_of, state_shapes
from dreamvla_edge.model.config import (
    DreamHeadConfig,
    ModelConfig,
    ResamplerConfig,
    TowerConfig,
)
from dreamvla_edge.model.errors import CheckpointError
from dreamvla_edge.model.sizes import Hints
from dreamvla_edge.model.synthetic import CALVIN, LIBERO, SIZES
from golden_cases import FULL, SMALL, Golden

State = dict[str, Tensor]

# Option in cases.json → the head's name, predicted tokens and channels.
HEADS = {
    "obs_pred": ("image", 196, 768),
    "depth_pred": ("depth", 196, 256),
    "dino_feat_pred": ("dino", 256, 768),
    "sam_feat_pred": ("sam", 256, 256),
    "trajectory_pred": ("trajectory", 196, 8),
}
DIT = {"DiT-S": TowerConfig(384, 6, 4, 1536), "DiT-B": TowerConfig(768, 12, 12, 3072)}


def described(case: dict[str, Any]) -> ModelConfig:
    """The configuration that the released options of a case stand for."""
    width = case["hidden_dim"]
    return ModelConfig(
        window=case["sequence_length"],
        backbone=TowerConfig(
            width, case["transformer_layers"], case["transformer_heads"], 4 * width
        ),
        vision=TowerConfig(768, case["vision_depth"], 12, 3072),
        text=TowerConfig(512, case["clip_text_layers"], 8, 2048),
        resampler=ResamplerConfig(case["num_resampler_query"], 3, 8, 64, 3072),
        dreams=tuple(DreamHeadConfig(*HEADS[key], 2, 16) for key in HEADS if case[key]),
        shared_queries=case["share_query"],
        queries_per_image=case["num_obs_token_per_image"],
        action_steps=case["action_pred_steps"],
        action_head="dit" if case["use_dit_head"] else "mlp",
        denoiser=DIT[case["dit_type"]] if case["use_dit_head"] else None,
        finger_state=case["gripper_width"],
        goal_offset=case["atten_goal"],
        own_observation_only=case["atten_only_obs"],
        reads_state=case["attn_robot_proprio_state"],
    )


@pytest.mark.parametrize("name", SMALL + FULL)
def test_golden_cases(name: str, golden: Golden) -> None:
    """Shapes, stored mask and two hints give what cases.json says."""
    case = golden.case(name)
    state = {key: torch.zeros(()).expand(shape) for key, shape in golden.shapes(name).items()}
    state["attention_mask"] = torch.from_numpy(golden.attention_mask(name))
    needed = needed_only(state)
    hints = Hints(heads=case["transformer_heads"], finger_state=case["gripper_width"])
    assert config_of(needed, hints) == described(case)


def needed_only(state: State) -> State:
    """`state` less the keys on the named list, by a rule that is not fnmatch."""
    stems = [pattern.removesuffix("*") for pattern in UNNEEDED]
    return {key: value for key, value in state.items() if not key.startswith(tuple(stems))}


@pytest.mark.parametrize(("name", "config"), [("calvin", CALVIN), ("libero", LIBERO)])
def test_released_sizes(name: str, config: ModelConfig, golden: Golden) -> None:
    """The full-size constants have exactly the released keys that inference needs."""
    released = golden.shapes(name)
    assert needed_only(released) == state_shapes(config)  # type: ignore[arg-type]
    assert config == described(golden.case(name))


def test_no_needed_key_is_on_the_list(golden: Golden) -> None:
    """Every pattern of UNNEEDED names released keys, and none that a network uses."""
    used = {key for config in SIZES.values() for key in state_shapes(config)}
    released = {key for name in SMALL + FULL for key in golden.shapes(name)}
    for pattern in UNNEEDED:
        stem = pattern.removesuffix("*")
        assert not any(key.startswith(stem) for key in used), pattern
        assert any(key.startswith(stem) for key in released), pattern


IMAGE, DEPTH, DINO, SAM = (
    DreamHeadConfig(name, 4, 5, 1, 16) for name in ("image", "depth", "dino", "sam")
)
VARIANTS = {
    "as it is": {},
    "one slot": {"window": 1},
    "mlp head": {"action_head": "mlp", "denoiser": None, "frequencies": 256},
    "no dream head": {"dreams": (), "queries_per_image": 0},
    "sam only": {"dreams": (SAM,)},
    "depth and sam share": {"dreams": (DEPTH, SAM), "shared_queries": True},
    "four share": {"dreams": (IMAGE, DEPTH, DINO, SAM), "shared_queries": True},
    "four apart": {"dreams": (IMAGE, DEPTH, DINO, SAM)},
    "goal": {"goal_offset": 1},
    "farthest goal": {"goal_offset": 2},
    "own observation": {"own_observation_only": True},
    "own observation and state": {"own_observation_only": True, "reads_state": True},
    "everything": {"own_observation_only": True, "goal_offset": 2, "shared_queries": True},
    "five steps of action": {"action_steps": 5},
    "patches of 8": {"patch": 8},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_is_read_back(
    variant: str, tiny: ModelConfig, hollow: Callable[[ModelConfig], State]
) -> None:
    """A state dict describes its configuration completely, up to the hints."""
    config = replace(tiny, **VARIANTS[variant])
    assert config_of(hollow(config)) == config


def test_hints_are_taken(tiny: ModelConfig, hollow: Callable[[ModelConfig], State]) -> None:
    """What shapes cannot tell comes from the hints, each into its place."""
    hints = Hints(
        heads=8,
        dit_heads=4,
        vision_heads=2,
        text_heads=32,
        dream_heads=1,
        finger_state=True,
        guidance=3.0,
    )
    config = config_of(hollow(tiny), hints)
    assert config.denoiser is not None
    assert (config.backbone.heads, config.denoiser.heads) == (8, 4)
    assert (config.vision.heads, config.text.heads) == (2, 32)
    assert [head.heads for head in config.dreams] == [1, 1]
    assert (config.finger_state, config.state_size, config.guidance) == (True, 8, 3.0)


@pytest.mark.parametrize(
    ("hint", "wrong", "width"),
    [
        ("heads", 3, 128),
        ("dit_heads", 0, 64),
        ("vision_heads", 5, 64),
        ("text_heads", 128, 64),
        ("dream_heads", -1, 128),
    ],
)
def test_heads_must_divide_the_width(
    hint: str,
    wrong: int,
    width: int,
    tiny: ModelConfig,
    hollow: Callable[[ModelConfig], State],
) -> None:
    """The error names the hint to give."""
    state = hollow(tiny)
    assert config_of(state, Hints(**{hint: 2}))  # type: ignore[arg-type]
    with pytest.raises(CheckpointError) as caught:
        config_of(state, Hints(**{hint: wrong}))  # type: ignore[arg-type]
    assert caught.value.found == f"a width of {width} with {wrong} attention heads"
    assert caught.value.expected == "a number of heads that divides the width"
    assert f"`{hint}`" in caught.value.cure


def test_a_width_without_released_rule_asks_for_the_hint(
    tiny: ModelConfig, hollow: Callable[[ModelConfig], State]
) -> None:
    """A tower narrower than one head of 64 has no released number of heads."""
    state = hollow(replace(tiny, vision=TowerConfig(32, 1, 4, 96)))
    assert config_of(state, Hints(vision_heads=4)).vision.heads == 4
    with pytest.raises(CheckpointError, match="by the released rule") as caught:
        config_of(state)
    assert "`vision_heads`" in caught.value.cure


@pytest.mark.parametrize(("width", "heads"), [(384, 4), (768, 12), (1024, 16), (256, 4)])
def test_dit_heads(
    width: int, heads: int, tiny: ModelConfig, hollow: Callable[[ModelConfig], State]
) -> None:
    """DiT-S has four heads of 96, all others heads of 64."""
    state = hollow(replace(tiny, denoiser=TowerConfig(width, 1, 1, 100)))
    denoiser = config_of(state).denoiser
    assert denoiser is not None and denoiser.heads == heads
