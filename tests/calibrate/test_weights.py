"""Graphs are read with their weights, also from files that have several links."""

from __future__ import annotations

import os
from pathlib import Path

import onnx
import pytest

from dreamvla_edge.calibrate.weights import load_with_weights
from dreamvla_edge.demo import BUNDLE


@pytest.mark.parametrize("name", ["denoise", "embed"])
def test_as_onnx_reads_it(name: str, tmp_path: Path) -> None:
    """Which refuses the same file under a second name."""
    for path in (BUNDLE / f"{name}.onnx", BUNDLE / f"{name}.onnx.data"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    wanted = onnx.load(tmp_path / f"{name}.onnx")
    for path in list(tmp_path.iterdir()):
        os.link(path, tmp_path / f"other-{path.name}")
    found = load_with_weights(tmp_path / f"{name}.onnx")
    assert found.SerializeToString(deterministic=True) == wanted.SerializeToString(
        deterministic=True
    )
    with pytest.raises(onnx.checker.ValidationError, match="hard links"):
        onnx.load(tmp_path / f"{name}.onnx")
