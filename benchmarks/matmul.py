"""How fast two libraries multiply large float32 matrices, and how fast memory is read.

Each figure is the best of several repetitions: the rate that the machine can give.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

SECONDS = 0.2
"""Repetitions of one product go on for this long."""

SHAPES = (
    (2048, 2048, 2048),
    (1970, 768, 3072),  # released vision: ten frames of one camera
    (930, 1024, 4096),  # released backbone
    (394, 768, 3072),  # vision of one pair of frames
    (324, 1024, 4096),  # prefill
    (93, 1024, 4096),  # step
)
"""Rows, inner and columns: a square, and the linears that do most of the work."""


def torch_gflops() -> dict[str, float]:
    """PyTorch's rate for each shape [GFLOP/s]."""
    import torch

    rates = {}
    for rows, inner, columns in SHAPES:
        x, w = torch.randn(rows, inner), torch.randn(inner, columns)
        out = torch.empty(rows, columns)
        seconds = _best(lambda x=x, w=w, out=out: torch.mm(x, w, out=out))
        rates[f"{rows}x{inner}x{columns}"] = 2e-9 * rows * inner * columns / seconds
    return rates


def onnxruntime_gflops(threads: int) -> dict[str, float]:
    """ONNX Runtime's rate for each shape [GFLOP/s], with constant weights as in a network."""
    rates = {}
    for rows, inner, columns in SHAPES:
        session = _matmul_session(inner, columns, threads)
        binding = session.io_binding()
        x = np.random.default_rng(0).standard_normal((rows, inner), np.float32)
        out = np.empty((rows, columns), np.float32)
        binding.bind_cpu_input("x", x)
        binding.bind_output("y", "cpu", 0, np.float32, out.shape, out.ctypes.data)
        seconds = _best(lambda s=session, b=binding: s.run_with_iobinding(b))
        rates[f"{rows}x{inner}x{columns}"] = 2e-9 * rows * inner * columns / seconds
    return rates


def memory_gb_per_s() -> float:
    """Rate at which PyTorch's threads read an array much larger than any cache [GB/s]."""
    import torch

    array = torch.zeros(128 * 2**20)
    return 4e-9 * array.numel() / _best(array.sum)


def _matmul_session(inner: int, columns: int, threads: int):  # type: ignore[no-untyped-def]
    import onnx
    import onnxruntime as ort

    float32 = onnx.TensorProto.FLOAT
    weight = np.random.default_rng(1).standard_normal((inner, columns), np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["x", "w"], ["y"])],
        "matmul",
        [onnx.helper.make_tensor_value_info("x", float32, ["rows", inner])],
        [onnx.helper.make_tensor_value_info("y", float32, ["rows", columns])],
        [onnx.numpy_helper.from_array(weight, "w")],
    )
    opsets = [onnx.helper.make_opsetid("", 20)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _best(run: Callable[[], object]) -> float:
    """Shortest of the repetitions [s], after one that does not count."""
    run()
    shortest, end = float("inf"), time.perf_counter() + SECONDS
    while (start := time.perf_counter()) < end:
        run()
        shortest = min(shortest, time.perf_counter() - start)
    return shortest
