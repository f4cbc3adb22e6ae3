"""A GPU through PyCUDA, in its primary context, which TensorRT and torch share."""

from __future__ import annotations

import atexit
import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from .build import build
from .device import KernelError, Launch, driver_error, no_driver

Array = npt.NDArray[Any]

_NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING, which PyCUDA has no name for: the stream and the default one, which
others use, do not wait for each other."""


class _Memory:
    """Memory that is given back with this object."""

    def __init__(self, size: int, allocation: Any) -> None:
        self.size, self.allocation, self.address = size, allocation, int(allocation)


class PyCudaDevice:
    """The first GPU. Raises KernelError if there is none, or no driver.

    stream: launches follow each other in it. The context is current only while a method works: what
    others made current stays so, and PyCUDA, which aborts a process that ends with a context
    pushed, finds none. All threads may use a device, but PyCUDA gives memory back only in the
    thread that made it, and warns in others.
    """

    def __init__(self) -> None:
        try:
            import pycuda.driver as cuda  # compiled where it is installed, so not everywhere
        except ImportError as error:
            if "libcuda" in str(error):
                raise no_driver(error) from error
            raise
        self._cuda = cuda
        self._functions: dict[tuple[str, str], Any] = {}
        with self._errors():
            cuda.init()
            device = cuda.Device(0)
            self.multiprocessors = int(device.multiprocessor_count)
            self.architecture = "sm_{}{}".format(*device.compute_capability())
            self._context = device.retain_primary_context()
            # Until then it stays: PyCUDA leaves a released context current, and releases one that
            # is only let go with a function that is not for primary ones.
            atexit.register(self._context.detach)
        with self._working():
            self.stream = cuda.Stream(_NON_BLOCKING)

    def upload(self, array: Array) -> _Memory:
        """A copy on the device."""
        memory = self._memory(array.nbytes)
        self.write(memory, array)
        return memory

    def write(self, buffer: _Memory, array: Array) -> None:
        """New numbers for a buffer, in the stream; pageable memory is copied before it returns."""
        array = np.ascontiguousarray(array)
        with self._working():
            self._cuda.memcpy_htod_async(buffer.allocation, array, self.stream)

    def zeros(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> _Memory:
        """New memory, all zero."""
        memory = self._memory(int(np.prod(shape)) * np.dtype(dtype).itemsize)
        self.clear(memory)
        return memory

    def clear(self, buffer: _Memory) -> None:
        """Makes a buffer zero again, in the stream."""
        with self._working():
            self._cuda.memset_d8_async(buffer.address, 0, buffer.size, self.stream)

    def download(self, buffer: _Memory, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """A copy on the host of what all launches before have left."""
        array: Array = np.empty(shape, dtype)
        with self._working():
            self._cuda.memcpy_dtoh_async(array, buffer.allocation, self.stream)
            self.stream.synchronize()
        return array

    def synchronize(self) -> None:
        """Waits until all launches are done."""
        with self._working():
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
        argument = np.frombuffer(bytes(call), np.uint8)  # PyCUDA passes what an array holds
        block = (launch.block, 1, 1)
        with self._working():
            function = self._function(launch)
            function(argument, block=block, grid=launch.grid, stream=self.stream)

    def _memory(self, size: int) -> _Memory:
        with self._working():
            return _Memory(size, self._cuda.mem_alloc(max(size, 16)))

    def _function(self, launch: Launch) -> Any:
        key = launch.source, launch.kernel
        if key not in self._functions:
            module = self._cuda.module_from_buffer(build(launch.source, self.architecture).code)
            self._functions[key] = module.get_function(launch.kernel)
        return self._functions[key]

    @contextmanager
    def _working(self) -> Iterator[None]:
        """With the context current."""
        with self._errors():
            self._context.push()
            try:
                yield
            finally:
                self._cuda.Context.pop()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """With a KernelError for each of PyCUDA's, whose words are the driver's."""
        try:
            yield
        except self._cuda.Error as error:
            raise driver_error(str(error)) from error
