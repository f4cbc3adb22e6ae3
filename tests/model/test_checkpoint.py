"""Checkpoint files: every form that is read, and tensors that do not make the network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dreamvla_edge.model.checkpoint import config_of, load_network, read_state_dict
from dreamvla_edge.model.config import ModelConfig
from dreamvla_edge.model.errors import CheckpointError
from dreamvla_edge.model.synthetic import random_state

State = dict[str, Tensor]
Save = Callable[[object], Path]
Refused = Callable[[Path], CheckpointError]


def prefixed(state: State) -> State:
    """Keys as distributed training writes them."""
    return {f"module.{name}": tensor for name, tensor in state.items()}


# Forms that are read


FORMS: dict[str, Callable[[State], object]] = {
    "released": lambda state: {"model_state_dict": prefixed(state)},
    "without module.": lambda state: {"model_state_dict": state},
    "bare": lambda state: state,
    "bare with module.": prefixed,
    "training": lambda state: {
        "epoch": 19,
        "args": {"lr": 1e-3, "name": "calvin"},
        "model_state_dict": prefixed(state),
        "optimizer_state_dict": {
            "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.ones(3)}},
            "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "params": [0]}],
        },
        "lr_scheduler_state_dict": {"_last_lr": [1e-3]},
    },
    "with parameters": lambda state: {
        "model_state_dict": {name: torch.nn.Parameter(tensor) for name, tensor in state.items()}
    },
    "with unneeded keys": lambda state: {
        "model_state_dict": prefixed(
            {
                **state,
                "clip_model.visual.proj": torch.full((2,), torch.nan),
                "clip_model.logit_scale": torch.tensor(4.6),
                "vision_encoder.mask_token": torch.zeros(1, 1, 8),
                "vision_encoder.decoder_blocks.0.norm1.weight": torch.ones(8),
                "recon_state_decoder.0.bias": torch.ones(8),
                "action_model.net.history_embedder.linear.bias": torch.ones(8),
            }
        )
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_torch_files(form: str, tiny_state: State, tiny: ModelConfig, save: Save) -> None:
    """Every form gives the same network, in eval mode, exactly."""
    network = load_network(save(FORMS[form](tiny_state)))
    assert network.config == tiny
    assert not network.training
    loaded = network.state_dict()
    assert loaded.keys() == tiny_state.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tiny_state.items())


def test_safetensors_file(tiny_state: State, tiny: ModelConfig, tmp_path: Path) -> None:
    """The same from safetensors, whatever the file is called."""
    path = tmp_path / "weights.bin"
    save_file(prefixed(tiny_state), path)
    network = load_network(path)
    assert network.config == tiny
    loaded = network.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tiny_state.items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("which", ["clip_model.", ""])
@pytest.mark.parametrize("safe", [False, True])
def test_other_precisions_become_float32(
    dtype: torch.dtype, which: str, safe: bool, tiny_state: State, save: Save, tmp_path: Path
) -> None:
    """Text tower alone or all weights, the stored mask included, in half or double precision."""
    stored = {
        name: tensor.to(dtype) if name.startswith(which) else tensor
        for name, tensor in tiny_state.items()
    }
    if safe:
        path = tmp_path / "checkpoint.safetensors"
        save_file(stored, path)
    else:
        path = save({"model_state_dict": stored})
    assert {tensor.dtype for tensor in read_state_dict(path).values()} == {torch.float32}
    loaded = load_network(path).state_dict()
    for name, tensor in stored.items():
        assert loaded[name].dtype == torch.float32
        assert torch.equal(loaded[name], tensor.float()), name


def test_unneeded_tensors_are_left_out(tiny_state: State, save: Save) -> None:
    """What `read_state_dict` returns is what the network takes."""
    path = save(FORMS["with unneeded keys"](tiny_state))
    assert read_state_dict(path).keys() == tiny_state.keys()


def test_the_network_outlives_its_file(tiny_state: State, save: Save) -> None:
    """Overwriting the file does not reach into a loaded network."""
    path = save(tiny_state)
    network = load_network(path)
    path.write_bytes(bytes(path.stat().st_size))
    weight = network.action_pred_token
    assert isinstance(weight, Tensor)
    assert torch.equal(weight, tiny_state["action_pred_token"])


# Tensors that do not make the network


def test_all_differences_in_one_error(tiny_state: State, save: Save, refused: Refused) -> None:
    """Missing keys, unknown keys and wrong shapes are listed together, each by name."""
    assert load_network(save(tiny_state))
    broken = dict(tiny_state)
    del broken["state_projector.bias"], broken["transformer_backbone.h.1.ln_2.weight"]
    broken["depth_anything.weight"] = torch.zeros(2)
    broken["module.flow_head.bias"] = torch.zeros(2)
    broken["text_projector.weight"] = torch.zeros(128, 41)
    broken["action_model.net.final_layer.linear.bias"] = torch.zeros(6)
    error = refused(save(broken))
    assert "2 missing and 2 unknown keys, 2 tensors of the wrong form" in error.found
    for part in (
        "no state_projector.bias",
        "no transformer_backbone.h.1.ln_2.weight",
        "unknown depth_anything.weight",
        "unknown flow_head.bias",
        "text_projector.weight is (128, 41), not (128, 40)",
        "action_model.net.final_layer.linear.bias is (6,), not (7,)",
    ):
        assert part in error.found
    assert "every tensor of the network" in error.expected
    assert "flow-matching heads and DINO-SigLIP vision are not supported" in error.cure


CARRIERS = [
    "transformer_backbone_position_embedding",
    "transformer_backbone.h.0.mlp.c_fc.weight",
    "vision_encoder.pos_embed",
    "clip_model.text_projection",
    "action_model.net.t_embedder.mlp.0.weight",
    "sam_decoder_pred.weight",
    "attention_mask",
]


@pytest.mark.parametrize("key", CARRIERS)
def test_missing_sizes(key: str, tiny_state: State) -> None:
    """Without the tensor that carries a size the network cannot be laid out."""
    assert config_of(tiny_state)
    state = {name: tensor for name, tensor in tiny_state.items() if name != key}
    with pytest.raises(CheckpointError) as caught:
        config_of(state)
    assert caught.value.found.startswith(f"no {key} (the file holds ")
    assert "every tensor from which a size of the network is read" in caught.value.expected
    assert "flow-matching" in caught.value.cure


@pytest.mark.parametrize("key", CARRIERS)
def test_sizes_of_wrong_dimensions(key: str, tiny_state: State) -> None:
    """A size is not read off a tensor of another kind."""
    state = {**tiny_state, key: torch.zeros(7)}
    with pytest.raises(CheckpointError) as caught:
        config_of(state)
    assert f"{key} of shape (7,) instead of" in caught.value.found


def test_another_network(save: Save, refused: Refused) -> None:
    """What is missing and what is there instead are both told."""
    error = refused(save({"encoder.weight": torch.zeros(3), "decoder.bias": torch.zeros(3)}))
    for key in (*CARRIERS[:4], "action_decoder.0.weight"):
        assert f"no {key}" in error.found
    assert "the file holds decoder, encoder" in error.found


@pytest.mark.parametrize(
    ("removed", "found"),
    [
        ("sam_feat_tokens", "no sam_feat_tokens"),
        ("image_decoder.", "no image_decoder.0.norm1.weight"),
        ("sam_mask_token", "no sam_mask_token"),
        ("clip_model.ln_final.", "no clip_model.ln_final.bias"),
    ],
)
def test_lost_parts(removed: str, found: str, tiny_state: State) -> None:
    """A part that got lost is not taken for a variant without it."""
    state = {name: t for name, t in tiny_state.items() if not name.startswith(removed)}
    with pytest.raises(CheckpointError) as caught:
        config_of(state)
    assert found in caught.value.found


@pytest.mark.parametrize(
    ("tensor", "form"),
    [
        (torch.zeros(128, dtype=torch.int8), "(128,) torch.int8"),
        (torch.zeros(128, dtype=torch.complex64), "(128,) torch.complex64"),
        (torch.zeros(128).to_sparse(), "(128,) torch.sparse_coo"),
        (torch.zeros(128, device="meta"), "(128,) without values"),
    ],
)
def test_tensors_that_are_no_weights(
    tensor: Tensor, form: str, tiny_state: State, save: Save, refused: Refused
) -> None:
    """Right shape, but quantized, complex, sparse or empty."""
    error = refused(save({**tiny_state, "text_projector.bias": tensor}))
    assert f"text_projector.bias is {form}, not (128,)" in error.found


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_must_be_finite(
    value: float, tiny_state: State, save: Save, refused: Refused
) -> None:
    """Every tensor with a NaN or infinity is named; the mask may hold -inf."""
    assert load_network(save(tiny_state))
    bad = ("action_pred_token", "clip_model.ln_final.bias")
    for name in bad:
        tiny_state[name].flatten()[-1] = value
    error = refused(save(tiny_state))
    assert error.found.endswith(
        "NaN or infinite values in action_pred_token, clip_model.ln_final.bias"
    )
    assert error.expected == "finite float32 weights"
    assert "earlier checkpoint" in error.cure


def test_weights_too_large_for_float32(tiny_state: State, save: Save, refused: Refused) -> None:
    """A double that becomes infinite on conversion counts as infinite."""
    tiny_state["text_projector.bias"] = torch.full((128,), 1e300, dtype=torch.float64)
    assert "infinite values in text_projector.bias" in refused(save(tiny_state)).found


def test_weights_differ_by_seed(tiny: ModelConfig, tiny_state: State, save: Save) -> None:
    """Loading does not leave the initial values of the network in place."""
    other = random_state(tiny, seed=1)
    loaded = load_network(save(other)).state_dict()
    same = [name for name in loaded if torch.equal(loaded[name], tiny_state[name])]
    assert same == ["attention_mask"]
