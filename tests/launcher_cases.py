"""What a device must do that speaks to libcuda, whatever package it speaks through.

cuda_device_cases.py and pycuda_device_cases.py run these and their own, each in a process that is
given a libcuda: the stand-in of tests/kernels/driver, or on a machine with a GPU its own.
"""

from __future__ import annotations

import ctypes
import gc
import json
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar
from unittest.mock import patch

import numpy as np

from dreamvla_edge.kernels.build import Image
from dreamvla_edge.kernels.calls import PreprocessCall
from dreamvla_edge.kernels.denoise import DenoiseKernel
from dreamvla_edge.kernels.device import Device, KernelError, Launch
from dreamvla_edge.kernels.tolerance import FACTORS
from kernel_cases import KERNELS, random_weights, table_of

SEEDS = 3
Kind = TypeVar("Kind")


def kernels(device: Device) -> None:
    """Every kernel is as near to its reference as anywhere else."""
    for name, run in KERNELS.items():
        for seed in range(SEEDS):
            found, halves = run(device, np.random.default_rng(seed))
            assert found <= FACTORS[name] * halves, (name, seed)


def copies(device: Device) -> None:
    """Bytes up and down, new ones in their place, zeros."""
    numbers = np.arange(60, dtype=np.float32).reshape(3, 20)
    buffer = device.upload(numbers)
    assert np.array_equal(device.download(buffer, (3, 20), np.float32), numbers)
    device.write(buffer, numbers[::-1])
    assert np.array_equal(device.download(buffer, (3, 20), np.float32), numbers[::-1])
    device.clear(buffer)
    assert not device.download(buffer, (3, 20), np.float32).any()
    assert not device.download(device.zeros((7,), np.int32), (7,), np.int32).any()
    device.synchronize()


def too_many_blocks(device: Device) -> None:
    """A grid whose blocks wait for each other is refused before it is launched."""
    table, times = table_of("ddim-1", 1.5)
    weights = random_weights(np.random.default_rng(0), times)
    kernel = DenoiseKernel(device, weights, table, 10 * device.multiprocessors)
    with refused("blocks wait for each other", "at most"):
        kernel.launch()


def beyond_the_end(device: Device) -> None:
    """Memory is as large as it was asked for."""
    buffer = device.zeros((8,), np.float32)
    with refused("invalid", "report"):
        device.write(buffer, np.zeros(9, np.float32))
    with refused("invalid", "report"):
        device.download(buffer, (9,), np.float32)


def out_of_memory(device: Device) -> None:
    """An error says so and what to do, and the device works on."""
    with refused("out of memory", "stop what else"):
        device.zeros((1 << 60,), np.uint8)
    copies(device)


def no_such_kernel(device: Device) -> None:
    """A name that the source does not hold."""
    with refused("not found", "report"):
        device.launch(Launch("preprocess.cu", "nothing", (1, 1, 1), 32), PreprocessCall())


def no_image(device: Device) -> None:
    """What the driver cannot load."""
    launcher = sys.modules[type(device).__module__]
    built = patch.object(launcher, "build", lambda *_: Image(b"?" * 64, {}))
    with built, refused("image", "empty ~/.cache"):
        device.launch(Launch("denoise.cu", "preprocess", (1, 1, 1), 32), PreprocessCall())


class refused:  # noqa: N801 - reads as pytest.raises does, which is not here
    """A KernelError that says what is wrong and what to do."""

    def __init__(self, wrong: str, cure: str) -> None:
        self.wrong, self.cure = wrong, cure

    def __enter__(self) -> None:
        """Nothing."""

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> bool:
        assert isinstance(error, KernelError), error
        assert self.wrong in str(error).lower().replace("_", " "), error
        assert self.cure in str(error), error
        return True


EVERY: tuple[Callable[[Device], None], ...] = (
    *(kernels, copies, too_many_blocks, beyond_the_end, out_of_memory, no_such_kernel, no_image),
)


def report(device: Kind, cases: Sequence[Callable[[Kind], None]]) -> None:
    """Runs the cases and prints a JSON line for each: its name, and why it failed or null.

    The last line tells what memory nobody has given back, where the library counts it.
    """
    for case in cases:
        try:
            case(device)
            wrong = None
        except (AssertionError, KernelError) as error:
            wrong = repr(error)
        print(json.dumps({"case": case.__name__, "wrong": wrong}), flush=True)
    gc.collect()
    left = getattr(ctypes.CDLL("libcuda.so.1"), "stand_in_allocations", lambda: 0)()
    print(json.dumps({"case": "memory", "wrong": f"{left} allocations left" if left else None}))
