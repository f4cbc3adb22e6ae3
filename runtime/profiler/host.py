"""What this machine can do at most, measured: the roof over the ONNX Runtime back end."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamvla_edge.runtime.profiler.matmul_model import matmul_model, pair_model
from dreamvla_edge.runtime.profiler.roofline import Roof

Array = npt.NDArray[Any]
SECONDS = 0.2
"""Repetitions of one measurement go on for this long; the shortest counts."""
SHAPES = ((12, 768, 3072), (93, 1024, 4096), (394, 768, 3072), (1024, 1024, 1024))
"""Rows, inner and columns of products that reach the peak: those of full-size stages, a cube."""
_STREAM_BYTES = 256 * 2**20
_SPIN_US = "10"
"""As in `backends/onnxruntime.py`."""


def measured_host(threads: int | None = None) -> Roof:
    """The roof of this machine at a number of threads, None for one per core; takes 2 s.

    Products: the best of ONNX Runtime's own at some shapes, in float32 and in int8; half and
    8-bit floats are computed in float32 here. Memory: as fast as `threads` threads read.
    """
    threads = threads or len(os.sched_getaffinity(0))
    fp32, int8 = (max(rate(shape, threads, kind) for shape in SHAPES) for kind in ("fp32", "int8"))
    return Roof(
        name=cpu_name(),
        mode=f"{threads} threads",
        operations_per_s={"fp32": fp32, "fp16": fp32, "fp8": fp32, "int8": int8},
        bytes_per_s=stream_bytes_per_s(threads),
        cache_bytes=cache_bytes(),
        source="measured: ONNX Runtime's products, reading by threads; cache from sysfs",
    )


def rate(shape: tuple[int, int, int], threads: int, kind: str = "fp32") -> float:
    """Operations per second of ONNX Runtime's product with constant weights, `fp32` or `int8`."""
    rows, inner, columns = shape
    random = np.random.default_rng(0)
    if kind == "int8":
        # 7 bits: without VNNI larger ones saturate.
        x = random.integers(0, 255, (rows, inner), np.uint8)
        run = product(x, [random.integers(-63, 64, (inner, columns), np.int8)], threads)
    else:
        x = random.standard_normal((rows, inner), np.float32)
        run = product(x, [random.standard_normal((inner, columns), np.float32)], threads)
    return 2.0 * rows * inner * columns / shortest(run)


def product(x: Array, weights: Sequence[Array], threads: int) -> Callable[[], object]:
    """Runs the products of x with each of the weights, once a call."""
    return running(matmul_model(weights), {"x": x}, threads)


def pair(x: Array, w: Array, threads: int) -> Callable[[], object]:
    """Runs the products of x (n, rows, inner) with w (n, inner, columns), once a call."""
    return running(pair_model(x.shape, w.shape), {"x": x, "w": w}, threads)


def running(model: bytes, inputs: Mapping[str, Array], threads: int) -> Callable[[], object]:
    """Runs a model with nothing copied, its threads as in `backends/onnxruntime.py`."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN_US)
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    # The binding does not keep its inputs alive; `run` does.
    given = {name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in inputs.items()}
    for name, value in given.items():
        binding.bind_ortvalue_input(name, value)
    for output in session.get_outputs():
        binding.bind_output(output.name)

    def run() -> object:
        return session.run_with_iobinding(binding), given

    return run


def stream_bytes_per_s(threads: int) -> float:
    """How fast threads together read an array much larger than any cache."""
    parts = np.array_split(np.ones(_STREAM_BYTES // 4, np.float32), threads)
    with ThreadPoolExecutor(threads) as pool:
        return _STREAM_BYTES / shortest(lambda: list(pool.map(lambda part: part @ part, parts)))


def cache_bytes() -> float:
    """Size of the last level of cache of the first core, 0 if the system does not tell."""
    sizes = [0.0]
    for file in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        try:
            sizes.append(float(file.read_text().strip().rstrip("K")) * 1024)
        except (OSError, ValueError):
            continue
    return max(sizes)


def cpu_name() -> str:
    """The processor, as /proc/cpuinfo names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def shortest(run: Callable[[], object]) -> float:
    """Shortest of the repetitions [s], after one that does not count."""
    run()
    found, end = float("inf"), time.perf_counter() + SECONDS
    while (start := time.perf_counter()) < end:
        run()
        found = min(found, time.perf_counter() - start)
    return found
