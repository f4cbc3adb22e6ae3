"""A GPU through PyCUDA, in its primary context, which TensorRT and torch share."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from .build import build
from .device import KernelError, Launch

Array = npt.NDArray[Any]


class _Memory:
    """Memory that is given back with this object."""

    def __init__(self, size: int, allocation: Any) -> None:
        self.size, self.allocation, self.address = size, allocation, int(allocation)


class PyCudaDevice:
    """The first GPU. Raises KernelError if there is none; PyCUDA is imported here, since it must
    be compiled and so is not everywhere.
    """

    def __init__(self) -> None:
        import pycuda.driver as cuda

        self._cuda = cuda
        try:
            cuda.init()
            device = cuda.Device(0)
        except cuda.Error as error:
            raise KernelError(f"no GPU ({error}); kernels run on an NVIDIA GPU") from error
        self.multiprocessors = int(device.multiprocessor_count)
        self.architecture = "sm_{}{}".format(*device.compute_capability())
        self._context = device.retain_primary_context()
        self._context.push()
        self.stream = cuda.Stream()
        self._functions: dict[tuple[str, str], Any] = {}

    def _memory(self, size: int) -> _Memory:
        return _Memory(size, self._cuda.mem_alloc(max(size, 16)))

    def upload(self, array: Array) -> _Memory:
        """A copy on the device."""
        memory = self._memory(array.nbytes)
        self.write(memory, array)
        return memory

    def write(self, buffer: _Memory, array: Array) -> None:
        """New numbers for a buffer, in the stream; pageable memory is copied before it returns."""
        self._cuda.memcpy_htod_async(buffer.allocation, np.ascontiguousarray(array), self.stream)

    def zeros(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> _Memory:
        """New memory, all zero."""
        memory = self._memory(int(np.prod(shape)) * np.dtype(dtype).itemsize)
        self.clear(memory)
        return memory

    def clear(self, buffer: _Memory) -> None:
        """Makes a buffer zero again, in the stream."""
        self._cuda.memset_d8_async(buffer.address, 0, buffer.size, self.stream)

    def download(self, buffer: _Memory, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """A copy on the host of what all launches before have left."""
        array: Array = np.empty(shape, dtype)
        self._cuda.memcpy_dtoh_async(array, buffer.allocation, self.stream)
        self.stream.synchronize()
        return array

    def synchronize(self) -> None:
        """Waits until all launches are done."""
        self.stream.synchronize()

    def launch(self, launch: Launch, call: ctypes.Structure) -> None:
        """Runs a kernel. Raises KernelError if it cannot be launched.

        PyCUDA has no cooperative launch: blocks that wait for each other are refused beyond one
        per multiprocessor, of which every kernel here has room for one.
        """
        blocks = int(np.prod(launch.grid))
        if launch.together and blocks > self.multiprocessors:
            raise KernelError(
                f"{launch.kernel} with {blocks} blocks on {self.multiprocessors} multiprocessors;"
                " its blocks wait for each other, so ask for one per multiprocessor at most"
            )
        key = launch.source, launch.kernel
        if key not in self._functions:
            module = self._cuda.module_from_buffer(build(launch.source, self.architecture).code)
            self._functions[key] = module.get_function(launch.kernel)
        argument = np.frombuffer(bytes(call), np.uint8)
        self._functions[key](
            argument, block=(launch.block, 1, 1), grid=launch.grid, stream=self.stream
        )
