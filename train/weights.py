"""Weights as a file that `export` reads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save
from torch import Tensor


def write_weights(state: Mapping[str, Tensor], path: Path) -> None:
    """Writes a state dict as fp16 safetensors, whole or not at all.

    The mask keeps its float32: its infinities are what says which rule it follows.
    """
    half = {
        name: (tensor if name == "attention_mask" else tensor.half()).contiguous()
        for name, tensor in state.items()
    }
    bad = [name for name, tensor in half.items() if tensor.isnan().any()]
    if bad:
        raise ValueError(f"NaN in {', '.join(bad)}")
    partial = path.with_name(f".{path.name}.partial")
    # `save_file` would make it readable for its owner alone.
    partial.write_bytes(save({name: tensor.detach() for name, tensor in half.items()}))
    os.replace(partial, path)
