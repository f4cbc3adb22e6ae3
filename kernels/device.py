"""Where kernels run, by name."""

from __future__ import annotations

import ctypes
import importlib
import re
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

DEVICES = {
    "emulation": ("dreamvla_edge.kernels.emulation.emulation", "Emulation", "g++"),
    "pycuda": (
        "dreamvla_edge.kernels.pycuda_device",
        "PyCudaDevice",
        "`pip install pycuda`, which compiles it with the CUDA toolkit of this machine's driver",
    ),
    "cuda-bindings": (
        "dreamvla_edge.kernels.cuda_device",
        "CudaDevice",
        "`pip install 'dreamvla-edge[jetson]'`",
    ),
}
"""Name → (module, class, what it needs); a module is imported when its device is asked for."""

_CURES = (
    ("out of memory", "stop what else uses the GPU, or take a smaller bundle"),
    ("no device|no cuda-capable", "kernels run on an NVIDIA GPU; without one take `emulation`"),
    ("ptx", "the driver is older than the compiler; take the nvcc or NVRTC of the driver's CUDA"),
    ("image|binary", "the kernel is built for another GPU; empty ~/.cache/dreamvla-edge/kernels"),
    ("illegal|launch fail|ecc", "this process has lost the GPU; start it again"),
    ("", "if `dreamvla doctor` finds nothing, this is a fault of ours; please report it"),
)
"""(What a driver says, in its names of errors or in its words for them; what to do)."""


class KernelError(Exception):
    """A kernel cannot be built or launched here; says what was found and what to do."""


@dataclass(frozen=True)
class Launch:
    """One launch: the source file in `cuda/`, the kernel in it, and how many threads.

    together: the blocks wait for each other, so all of them must be resident.
    """

    source: str
    kernel: str
    grid: tuple[int, int, int]
    block: int
    together: bool = False


class Buffer(Protocol):
    """Memory of a device."""

    address: int


class Device(Protocol):
    """Memory and launches; launches follow each other in one stream."""

    multiprocessors: int
    architecture: str

    def upload(self, array: Array) -> Buffer:
        """A copy on the device."""
        ...

    def write(self, buffer: Buffer, array: Array) -> None:
        """New numbers for a buffer, in the stream."""
        ...

    def zeros(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Buffer:
        """New memory, all zero."""
        ...

    def download(self, buffer: Buffer, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """A copy on the host of what all launches before have left."""
        ...

    def clear(self, buffer: Buffer) -> None:
        """Makes a buffer zero again, in the stream."""
        ...

    def synchronize(self) -> None:
        """Waits until all launches are done."""
        ...

    def launch(self, launch: Launch, call: ctypes.Structure) -> None:
        """Runs a kernel. Raises KernelError if it cannot be launched."""
        ...


def make_device(name: str) -> Device:
    """The device `name`. Raises KernelError if there is none of that name or it cannot be used."""
    if name not in DEVICES:
        raise KernelError(f"{name!r} is no device for kernels; there are {', '.join(DEVICES)}")
    module, kind, needed = DEVICES[name]
    try:
        made: Device = getattr(importlib.import_module(module), kind)()
    except ImportError as error:
        raise KernelError(
            f"the device {name} cannot be loaded ({error}); it needs {needed}; or choose another"
            f" of {', '.join(DEVICES)}"
        ) from error
    return made


def driver_error(said: str) -> KernelError:
    """For what the CUDA driver says, with what to do about it."""
    words = said.lower().replace("_", " ")
    cure = next(cure for sign, cure in _CURES if re.search(sign, words))
    return KernelError(f"the CUDA driver says {said}; {cure}")


def no_driver(error: Exception) -> KernelError:
    """For a machine without the driver's library."""
    return KernelError(
        f"no CUDA driver ({error}); kernels run on an NVIDIA GPU with its driver (on a Jetson,"
        " JetPack brings it); without one take the device `emulation`"
    )


def halves(array: Array) -> Array:
    """In IEEE halves, contiguous. Raises ValueError for a number that halves do not hold."""
    with np.errstate(over="ignore"):
        found = np.ascontiguousarray(array, np.float16)
    if not np.isfinite(found).all():
        raise ValueError("a number is not finite, or above 65504 and so beyond IEEE halves")
    return found
