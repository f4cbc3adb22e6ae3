"""Models written without the onnx package are what onnx reads, and compute products."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from dreamvla_edge.runtime.profiler.matmul_model import matmul_model, pair_model


def run(model: bytes, **inputs: np.ndarray) -> list[np.ndarray]:
    """What ONNX Runtime computes, after onnx found no fault."""
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return list(session.run(None, inputs))


@pytest.mark.parametrize("columns", [127, 128, 300, 20_000])
def test_products_with_weights(columns: int) -> None:
    """One input, three weights; lengths that need one, two and three bytes in the file."""
    random = np.random.default_rng(0)
    x = random.standard_normal((3, 200), np.float32)
    weights = [random.standard_normal((200, columns), np.float32) for _ in range(3)]
    for y, w in zip(run(matmul_model(weights), x=x), weights, strict=True):
        np.testing.assert_allclose(y, x @ w, rtol=0, atol=1e-4)  # sums of 200 in another order


def test_products_of_whole_numbers() -> None:
    """Exact."""
    random = np.random.default_rng(0)
    x = random.integers(0, 255, (3, 20), np.uint8)
    w = random.integers(-63, 64, (20, 5), np.int8)
    (y,) = run(matmul_model([w]), x=x)
    np.testing.assert_array_equal(y, x.astype(np.int32) @ w.astype(np.int32))


@pytest.mark.parametrize("heads", [1, 5])
def test_products_of_two_inputs(heads: int) -> None:
    """One for each head."""
    random = np.random.default_rng(0)
    x = random.standard_normal((heads, 4, 6), np.float32)
    w = random.standard_normal((heads, 6, 7), np.float32)
    (y,) = run(pair_model(x.shape, w.shape), x=x, w=w)
    np.testing.assert_allclose(y, x @ w, rtol=0, atol=1e-5)
