"""Checkpoint files: every form that is read, and every defect that is refused and named."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from dreamvla_edge.model.checkpoint import config_of, load_network, read_state_dict
from dreamvla_edge.model.config import ModelConfig
from dreamvla_edge.model.errors import CheckpointError
from dreamvla_edge.model.synthetic import random_state

State = dict[str, Tensor]
Save = Callable[[object], Path]

TORCH_FILE = "torch.save"
AGAIN = "copy or download the file again"


def prefixed(state: State) -> State:
    """Keys as distributed training writes them."""
    return {f"module.{name}": tensor for name, tensor in state.items()}


def refused(path: Path) -> CheckpointError:
    """The error that loading `path` raises."""
    with pytest.raises(CheckpointError) as caught:
        load_network(path)
    assert str(path) in caught.value.found
    return caught.value


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


# Files that are no checkpoint


def test_missing_file(tmp_path: Path) -> None:
    """The path is named."""
    error = refused(tmp_path / "nothing.pt")
    assert "cannot be read: No such file" in error.found
    assert TORCH_FILE in error.expected
    assert error.cure == "check path and permissions"


def test_directory(tmp_path: Path) -> None:
    """A directory is not searched for a file that may be meant."""
    error = refused(tmp_path)
    assert error.found.endswith("is a directory")
    assert error.cure == "name the file inside it"


def test_git_lfs_pointer(tmp_path: Path) -> None:
    """A clone without git-lfs leaves a few lines of text in place of the weights."""
    path = tmp_path / "checkpoint.pt"
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3044000000\n")
    error = refused(path)
    assert "git-lfs pointer" in error.found
    assert "git lfs pull" in error.cure


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "is empty"),
        (b"\x00\x01\x02" * 50, "is neither a torch nor a safetensors file"),
        (b"lr: 0.001\n", "is neither a torch nor a safetensors file"),
        (b"\x93NUMPY", "is neither a torch nor a safetensors file"),
    ],
)
def test_other_files(content: bytes, found: str, tmp_path: Path) -> None:
    """Files of another kind say so and do not end in a traceback of a parser."""
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    error = refused(path)
    assert error.found == f"{path} {found}"
    assert TORCH_FILE in error.expected and ".safetensors" in error.expected
    assert "right file" in error.cure


def test_zip_of_something_else(tmp_path: Path) -> None:
    """A zip archive is not a checkpoint yet."""
    path = tmp_path / "checkpoint.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no weights here")
    assert "not written by a plain torch.save" in refused(path).found


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (torch.zeros(3), "an object of type Tensor"),
        ([torch.zeros(3)], "an object of type list"),
        ({}, "an object of type dict"),
        ({"epoch": 3, "lr": 0.1}, "but epoch, lr"),
        ({"model_state_dict": {"epoch": 3}}, "but model_state_dict"),
        ({"model_state_dict": None}, "but model_state_dict"),
    ],
)
def test_torch_files_without_a_state_dict(content: object, found: str, save: Save) -> None:
    """What the file holds instead is told."""
    error = refused(save(content))
    assert "holds no tensors by name" in error.found and error.found.endswith(found)
    assert "`model_state_dict`" in error.expected
    assert "network.state_dict()" in error.cure


def test_keys_with_and_without_prefix(tiny_state: State, save: Save) -> None:
    """Two tensors for one name: neither is taken."""
    assert load_network(save(tiny_state))
    twice = {**tiny_state, "module.action_pred_token": tiny_state["action_pred_token"]}
    error = refused(save(twice))
    assert "both with and without `module.`" in error.found
    assert error.expected == "each key once"
    assert "one network" in error.cure


# Files that would run code


class Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return io.open, (str(self.path), "w")


def test_torch_file_that_runs_code(tiny_state: State, save: Save, tmp_path: Path) -> None:
    """It is refused by the name of what it calls, and nothing is called."""
    mark = tmp_path / "touched"
    assert load_network(save({"model_state_dict": tiny_state, "args": {"lr": 0.1}}))
    error = refused(save({"model_state_dict": tiny_state, "args": Touch(mark)}))
    assert "is refused: loading it would execute code (io.open)" in error.found
    assert "tensors, numbers and plain containers" in error.expected
    assert "write only its `model_state_dict`" in error.cure
    assert not mark.exists()


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_bare_pickle_that_runs_code(protocol: int, tmp_path: Path) -> None:
    """The old torch format and pickle itself cannot be told from an attack: neither is read."""
    path, mark = tmp_path / "checkpoint.pt", tmp_path / "touched"
    path.write_bytes(pickle.dumps({"model_state_dict": Touch(mark)}, protocol))
    error = refused(path)
    assert error.found.endswith("is refused: loading it would execute code from the file")
    assert TORCH_FILE in error.expected
    assert "current torch.save" in error.cure
    assert not mark.exists()


@pytest.mark.parametrize("protocol", [4, 5])
def test_other_pickle_protocol(protocol: int, tiny_state: State, tmp_path: Path) -> None:
    """PyTorch reads no other protocol safely; written again without options the file loads."""
    path = tmp_path / "checkpoint.pt"
    torch.save(tiny_state, path, pickle_protocol=protocol)
    error = refused(path)
    assert "not written by a plain torch.save" in error.found
    assert "write its state dict again with torch.save, no options" in error.cure
    torch.save(tiny_state, path)
    assert load_network(path)


def test_old_torch_format(tiny_state: State, tmp_path: Path) -> None:
    """PyTorch before 1.6 wrote a bare pickle; written again it loads."""
    path = tmp_path / "checkpoint.pt"
    torch.save(tiny_state, path, _use_new_zipfile_serialization=False)
    assert "bare pickle" in refused(path).found
    torch.save(torch.load(path), path)
    assert load_network(path)


# Damaged files


@pytest.mark.parametrize("part", [0.0005, 0.5, 0.99, 0.99999])
def test_truncated_torch_file(part: float, tiny_state: State, save: Save) -> None:
    """Wherever the copy stopped."""
    path = save({"model_state_dict": tiny_state})
    assert load_network(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    error = refused(path)
    assert "truncated, damaged or not written by a plain torch.save" in error.found
    assert TORCH_FILE in error.expected
    assert AGAIN in error.cure


@pytest.mark.parametrize("size", [9, 1000, -1])
def test_truncated_safetensors_file(size: int, tiny_state: State, tmp_path: Path) -> None:
    """In the header or in the last tensor."""
    path = tmp_path / "checkpoint.safetensors"
    save_file(tiny_state, path)
    assert load_network(path)
    path.write_bytes(path.read_bytes()[:size])
    error = refused(path)
    assert "truncated or damaged safetensors file" in error.found
    assert TORCH_FILE in error.expected
    assert AGAIN in error.cure


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    head=st.sampled_from([b"", b"PK\x03\x04", b"\x80\x04", b"\x30\0\0\0\0\0\0\0{", b"version "]),
    tail=st.binary(max_size=200),
)
def test_any_bytes(head: bytes, tail: bytes, tmp_path: Path) -> None:
    """No content of a file raises anything but the one error."""
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(head + tail)
    refused(path)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255), safe=st.booleans())
def test_any_changed_byte(place: float, value: int, safe: bool, damaged_file: DamagedFile) -> None:
    """A changed byte changes a weight, or is refused with the one error."""
    path = damaged_file(place, value, safe)
    try:
        load_network(path)
    except CheckpointError as error:
        assert error.cure


DamagedFile = Callable[[float, int, bool], Path]


@pytest.fixture
def damaged_file(tiny_state: State, tmp_path: Path) -> DamagedFile:
    """Writes a good file with one byte changed; half of the places are in its description."""
    torch.save({"model_state_dict": tiny_state}, tmp_path / "good.pt")
    save_file(tiny_state, tmp_path / "good.safetensors")
    good = {safe: (tmp_path / f"good.{end}").read_bytes() for safe, end in KINDS.items()}

    def write(place: float, value: int, safe: bool) -> Path:
        content = bytearray(good[safe])
        if (
            place < 0.5
        ):  # safetensors describes its tensors at the start, torch there and at the end
            index = int(2 * place * 40_000)
            index = index if safe or index < 30_000 else index - 40_000
        else:
            index = int((2 * place - 1) * len(content))
        content[index] = value
        path = tmp_path / "damaged"
        path.write_bytes(content)
        return path

    return write


KINDS = {False: "pt", True: "safetensors"}


# Tensors that do not make the network


def test_all_differences_in_one_error(tiny_state: State, save: Save) -> None:
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


def test_another_network(save: Save) -> None:
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
    tensor: Tensor, form: str, tiny_state: State, save: Save
) -> None:
    """Right shape, but quantized, complex, sparse or empty."""
    error = refused(save({**tiny_state, "text_projector.bias": tensor}))
    assert f"text_projector.bias is {form}, not (128,)" in error.found


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_must_be_finite(value: float, tiny_state: State, save: Save) -> None:
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


def test_weights_too_large_for_float32(tiny_state: State, save: Save) -> None:
    """A double that becomes infinite on conversion counts as infinite."""
    tiny_state["text_projector.bias"] = torch.full((128,), 1e300, dtype=torch.float64)
    assert "infinite values in text_projector.bias" in refused(save(tiny_state)).found


def test_weights_differ_by_seed(tiny: ModelConfig, tiny_state: State, save: Save) -> None:
    """Loading does not leave the initial values of the network in place."""
    other = random_state(tiny, seed=1)
    loaded = load_network(save(other)).state_dict()
    same = [name for name in loaded if torch.equal(loaded[name], tiny_state[name])]
    assert same == ["attention_mask"]
