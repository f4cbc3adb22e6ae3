"""Reading released checkpoints.

Nothing in a file is ever executed: torch files are read with `weights_only`, and one that would
need more than tensors is refused before it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint

from .config import ModelConfig
from .errors import CheckpointError
from .network import DreamVLA
from .sizes import RELEASED, Hints, sizes_of
from .stored_mask import with_mask_options

UNNEEDED = (
    "vision_encoder.decoder_*",  # MAE decoder
    "vision_encoder.mask_token",
    "clip_model.visual.*",  # CLIP image tower
    "clip_model.logit_scale",
    "recon_*",  # state reconstruction
    "action_pose_encoder.*",  # actions as inputs
    "action_gripper_position_encoder.*",
    "action_projector.*",
    "action_model.net.history_embedder.*",
)
"""Patterns of the released keys that training used and inference does not need."""

LFS_POINTER = b"version https://git-lfs.github.com/spec/"
ZIP, PICKLE = b"PK\x03\x04", b"\x80"
TORCH_FILE = "a checkpoint written by torch.save (PyTorch 1.6 or later) or a .safetensors file"
AGAIN = "copy or download the file again and compare its size with the original"


def load_network(path: str | Path, hints: Hints = RELEASED) -> DreamVLA:
    """The network of a checkpoint file, float32, in eval mode.

    The file is mapped, not read as a whole: the network holds the only copy of the weights.
    Raises CheckpointError as `read_state_dict` and `config_of` do, and if a weight is NaN or
    infinite.
    """
    state = read_state_dict(path)
    try:
        network = DreamVLA(config_of(state, hints))
        network.load_state_dict(state)
        _check_finite(network)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error.found}", error.expected, error.cure) from error
    return network.eval()


def config_of(state: Mapping[str, Tensor], hints: Hints = RELEASED) -> ModelConfig:
    """Configuration of the network whose tensors are `state`, under their released names.

    Raises CheckpointError if sizes cannot be read (`sizes_of`), if keys are unknown or missing or
    shapes wrong (all of them in one error), or if the stored mask follows no released rule.
    """
    sizes = sizes_of({name: tuple(tensor.shape) for name, tensor in state.items()}, hints)
    _check_tensors(state, sizes)
    return with_mask_options(sizes, state["attention_mask"])


def state_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor of the network's state dict; allocates nothing."""
    with torch.device("meta"):
        state = DreamVLA(config).state_dict()
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Tensors of a checkpoint by released name, float32, without those that nobody needs.

    path: a torch file (`model_state_dict` in a training checkpoint, or the state dict itself,
    with or without the `module.` of distributed training) or a safetensors file. Tensors stay
    mapped to the file until they are copied, except those that had to be converted to float32.
    Raises CheckpointError if the file is no checkpoint, damaged, or would run code.
    """
    path = Path(path)
    state = _find_state_dict(path, _open(path))
    names = [name.removeprefix("module.") for name in state]
    if len(set(names)) < len(names):
        raise CheckpointError(
            f"{path} holds keys both with and without `module.`",
            "each key once",
            "save the state dict of one network",
        )
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in zip(names, state.values(), strict=True)
        if not any(fnmatchcase(name, pattern) for pattern in UNNEEDED)
    }


def _open(path: Path) -> Any:
    if path.is_dir():
        raise CheckpointError(f"{path} is a directory", TORCH_FILE, "name the file inside it")
    try:
        with path.open("rb") as file:
            head = file.read(len(LFS_POINTER))
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read: {error.strerror}", TORCH_FILE, "check path and permissions"
        ) from error
    if head == LFS_POINTER:
        raise CheckpointError(
            f"{path} is a git-lfs pointer, not the file it stands for",
            TORCH_FILE,
            "run `git lfs pull` in the repository that the file comes from",
        )
    if head.startswith(ZIP):
        return _open_torch(path)
    if head[8:9] == b"{":  # a header in JSON after its length in eight bytes
        return _open_safetensors(path)
    if head.startswith(PICKLE):
        raise CheckpointError(
            f"{path} is a bare pickle and is refused: loading it would execute code from the file",
            TORCH_FILE,
            "where you trust the file, load it and write it again with a current torch.save",
        )
    raise CheckpointError(
        f"{path} is {'empty' if not head else 'neither a torch nor a safetensors file'}",
        TORCH_FILE,
        "check that this is the right file and that it is complete",
    )


def _open_torch(path: Path) -> Any:
    # Whatever the reader raises comes from the bytes of the file: torch has no one error for it.
    try:
        unsafe = get_unsafe_globals_in_checkpoint(path)
        if not unsafe:
            return torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path} is truncated, damaged or not written by a plain torch.save ({reason})",
            TORCH_FILE,
            f"{AGAIN}; if it is complete, write its state dict again with torch.save, no options",
        ) from error
    raise CheckpointError(
        f"{path} is refused: loading it would execute code ({', '.join(sorted(unsafe))})",
        "a file of tensors, numbers and plain containers",
        "where you trust the file, load it and write only its `model_state_dict` with torch.save",
    )


def _open_safetensors(path: Path) -> Any:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is a truncated or damaged safetensors file ({error})", TORCH_FILE, AGAIN
        ) from error


def _find_state_dict(path: Path, loaded: Any) -> dict[str, Tensor]:
    outer = loaded if isinstance(loaded, dict) else {}
    inner = outer.get("model_state_dict", outer)
    state = {
        name: tensor
        for name, tensor in (inner.items() if isinstance(inner, dict) else ())
        if isinstance(name, str) and isinstance(tensor, Tensor)
    }
    if not state:
        keys = ", ".join(map(str, outer)) or f"an object of type {type(loaded).__name__}"
        raise CheckpointError(
            f"{path} holds no tensors by name, but {keys}",
            "a state dict, or a dict with one under `model_state_dict`",
            "take the file that training wrote, or save `network.state_dict()`",
        )
    return state


def _check_tensors(state: Mapping[str, Tensor], config: ModelConfig) -> None:
    shapes = state_shapes(config)
    missing = [f"no {name}" for name in shapes if name not in state]
    unknown = [f"unknown {name}" for name in state if name not in shapes]
    wrong = [
        f"{name} is {form}, not {shape}"
        for name, shape in shapes.items()
        if name in state and (form := _form(state[name])) != str(shape)
    ]
    if missing or unknown or wrong:
        raise CheckpointError(
            f"{len(missing)} missing and {len(unknown)} unknown keys, {len(wrong)} tensors of "
            f"the wrong form: {', '.join(missing + unknown + wrong)}",
            "every tensor of the network that the sizes describe, and no other but those that "
            "inference does not need",
            "take a released variant (flow-matching heads and DINO-SigLIP vision are not "
            "supported), or leave tensors of your own out of the file",
        )


def _form(tensor: Tensor) -> str:
    """The shape, and in words whatever else keeps the tensor from being a plain weight."""
    odd = [] if tensor.is_floating_point() else [str(tensor.dtype)]
    odd += [] if tensor.layout is torch.strided else [str(tensor.layout)]
    odd += ["without values"] if tensor.is_meta else []
    return " ".join([str(tuple(tensor.shape)), *odd])


def _check_finite(network: DreamVLA) -> None:
    bad = [name for name, weight in network.named_parameters() if not weight.isfinite().all()]
    if bad:
        raise CheckpointError(
            f"NaN or infinite values in {', '.join(bad)}",
            "finite float32 weights",
            "take an earlier checkpoint of this training run",
        )
