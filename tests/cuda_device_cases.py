"""What CudaDevice must do, with NVIDIA's own cuda-bindings on whatever libcuda is found.

    python cuda_device_cases.py

prints one JSON line per case: its name, and why it failed or null. tests/kernels starts it on the
stand-in of tests/kernels/driver.cpp; on a machine with a GPU it can be started as it is.
"""

from __future__ import annotations

import ctypes
import gc
import json
from collections.abc import Callable

import numpy as np

from dreamvla_edge.kernels.cuda_device import CudaDevice
from dreamvla_edge.kernels.denoise import DenoiseKernel
from dreamvla_edge.kernels.device import KernelError
from dreamvla_edge.kernels.tolerance import FACTORS
from kernel_cases import KERNELS, random_weights, table_of

CASES = 3


def kernels(device: CudaDevice) -> None:
    """Every kernel is as near to its reference as anywhere else."""
    for name, run in KERNELS.items():
        for seed in range(CASES):
            found, halves = run(device, np.random.default_rng(seed))  # type: ignore[arg-type]
            assert found <= FACTORS[name] * halves, (name, seed)


def copies(device: CudaDevice) -> None:
    """Bytes up and down, zeros, and rows between two pitches."""
    numbers = np.arange(60, dtype=np.float32).reshape(3, 20)
    source, to = device.upload(numbers), device.zeros((3, 10), np.float32)
    assert np.array_equal(device.download(source, (3, 20), np.float32), numbers)
    device.copy_rows(to.address + 8, 40, source.address, 80, 28, 3)
    wanted = np.zeros((3, 10), np.float32)
    wanted[:, 2:9] = numbers[:, :7]
    assert np.array_equal(device.download(to, (3, 10), np.float32), wanted)
    device.clear(to)
    assert not device.download(to, (3, 10), np.float32).any()


def graphs(device: CudaDevice) -> None:
    """Nothing is done while a graph is captured, and all of it by each replay."""
    to, one = device.zeros((4,), np.float32), device.upload(np.ones(4, np.float32))
    with device.captured() as graph:
        device.copy_rows(to.address, 16, one.address, 16, 16, 1)
    assert not device.download(to, (4,), np.float32).any()
    for _ in range(2):
        device.clear(to)
        device.replay(graph.executable)
        assert device.download(to, (4,), np.float32).all()


def failed_capture(device: CudaDevice) -> None:
    """What a capture forbids is an error, after which the stream works on."""
    memory = device.zeros((4,), np.float32)
    with refused("CAPTURE"), device.captured():
        device.download(memory, (4,), np.float32)
    assert not device.download(memory, (4,), np.float32).any()


def too_many_blocks(device: CudaDevice) -> None:
    """A grid whose blocks wait for each other is refused before it is launched."""
    table, times = table_of("ddim-1", 1.5)
    weights = random_weights(np.random.default_rng(0), times)
    blocks = 10 * device.multiprocessors
    kernel = DenoiseKernel(device, weights, table, blocks)  # type: ignore[arg-type]
    with refused("blocks wait for each other"):
        kernel.launch()


def beyond_the_end(device: CudaDevice) -> None:
    """Memory is as large as it was asked for."""
    memory = device.zeros((8,), np.float32)
    with refused("INVALID_VALUE"):
        device.write(memory, np.zeros(9, np.float32))


class refused:  # noqa: N801 - reads as pytest.raises does, which is not here
    """A KernelError that says so."""

    def __init__(self, words: str) -> None:
        self.words = words

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> bool:
        assert isinstance(error, KernelError) and self.words in str(error), error
        return True


ALL: tuple[Callable[[CudaDevice], None], ...] = (
    *(kernels, copies, graphs, failed_capture, too_many_blocks, beyond_the_end),
)


def main() -> None:
    """See the module."""
    device = CudaDevice()
    for case in ALL:
        try:
            case(device)
            wrong = None
        except (AssertionError, KernelError) as error:
            wrong = repr(error)
        print(json.dumps({"case": case.__name__, "wrong": wrong}), flush=True)
    del case
    gc.collect()
    left = getattr(ctypes.CDLL("libcuda.so.1"), "stand_in_allocations", lambda: 0)()
    print(json.dumps({"case": "memory", "wrong": f"{left} allocations left" if left else None}))


if __name__ == "__main__":
    main()
