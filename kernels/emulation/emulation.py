"""A device that is the host's C++ compiler: for tests, not for speed.

Every CUDA thread is a fiber (`execution.h`); tensor-core instructions are written out with the
layouts that CuTe gives them (`primitives.h`). Limits: blocks take turns instead of running at the
same time, memory is ordered as on the host, and half precision arithmetic is exact but for the
final rounding.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamvla_edge.kernels.build import SOURCES
from dreamvla_edge.kernels.device import KernelError, Launch

Array = npt.NDArray[Any]

_HERE = Path(__file__).parent
_FLAGS = ("-std=c++17", "-O2", "-g", "-fPIC", "-shared", "-fno-strict-aliasing")
SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
"""Flags that have every access and every operation checked; then the process must be started with
the compiler's libasan in LD_PRELOAD."""


class Memory:
    """A NumPy array as a device's memory."""

    def __init__(self, array: Array) -> None:
        self.array = array
        self.address: int = array.ctypes.data


class Emulation:
    """Runs kernels on the host; multiprocessors: blocks that are alive at the same time.

    flags: more of the compiler's. Raises KernelError if there is no C++ compiler.
    """

    architecture = platform.machine()

    def __init__(self, multiprocessors: int = 4, flags: tuple[str, ...] = ()) -> None:
        self.multiprocessors = multiprocessors
        self._library = ctypes.CDLL(str(build(flags)))
        self._library.emulate.restype = ctypes.c_char_p
        self._library.bytes_read_once.restype = ctypes.c_ulonglong

    @property
    def bytes_read_once(self) -> int:
        """Bytes of weights that the last launch read."""
        return int(self._library.bytes_read_once())

    def upload(self, array: Array) -> Memory:
        """A copy."""
        return Memory(np.array(array, order="C"))

    def write(self, buffer: Memory, array: Array) -> None:
        """New numbers for a buffer."""
        buffer.array[...] = array

    def zeros(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Memory:
        """New memory, all zero."""
        return Memory(np.zeros(shape, dtype))

    def download(self, buffer: Memory, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """A copy."""
        found: Array = buffer.array.reshape(shape).copy()
        return found

    def clear(self, buffer: Memory) -> None:
        """Makes a buffer zero again."""
        buffer.array[...] = 0

    def synchronize(self) -> None:
        """A launch is done when it returns."""

    def launch(self, launch: Launch, call: ctypes.Structure) -> None:
        """Runs a kernel. Raises KernelError if it cannot come to its end."""
        grid, block = (ctypes.c_uint * 3)(*launch.grid), (ctypes.c_uint * 3)(launch.block, 1, 1)
        wrong = self._library.emulate(
            launch.kernel.encode(), ctypes.byref(call), grid, block, self.multiprocessors
        )
        if wrong:
            raise KernelError(f"{launch.kernel}: {wrong.decode()}")


def build(flags: tuple[str, ...] = ()) -> Path:
    """The shared library of all kernels, compiled once for its sources, flags and compiler.

    Raises KernelError if there is no C++ compiler, or it refuses.
    """
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise KernelError("no C++ compiler for the emulation of kernels; install g++")
    files = sorted([*_HERE.glob("*.[hc]*"), *SOURCES.glob("*.cu*")])
    key = hashlib.sha256(repr((compiler, flags, _FLAGS, platform.machine())).encode())
    for file in files:
        key.update(file.read_bytes())
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dreamvla-edge"
    library = cache / f"emulation-{key.hexdigest()[:16]}.so"
    if library.exists():
        return library
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        made = Path(folder) / library.name
        command = [compiler, *_FLAGS, *flags, f"-I{SOURCES}", f"-I{_HERE}"]
        result = subprocess.run(
            [*command, str(_HERE / "kernels.cpp"), "-o", str(made)], capture_output=True, text=True
        )
        if result.returncode:
            raise KernelError(f"{compiler} refuses the kernels:\n{result.stderr[-4000:]}")
        made.replace(library)
    return library
