"""A GPU through NVIDIA's cuda-bindings, in its primary context, which TensorRT and torch share."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from cuda.bindings import driver

from .build import build
from .device import KernelError, Launch, driver_error, no_driver

Array = npt.NDArray[Any]


class Memory:
    """Memory that is given back with this object."""

    def __init__(self, size: int) -> None:
        self.size, self.address = size, 0
        self.address = int(_done(driver.cuMemAlloc(max(size, 16))))

    def __del__(self) -> None:
        if self.address:
            driver.cuMemFree(self.address)


class Graph:
    """What a capture becomes; executable: set when it has ended."""

    executable: Any = None


class CudaDevice:
    """The first GPU. Raises KernelError if there is none, or no driver.

    stream: launches follow each other in it.
    """

    def __init__(self) -> None:
        try:
            _done(driver.cuInit(0))
        except RuntimeError as error:  # no libcuda
            raise no_driver(error) from error
        device = _done(driver.cuDeviceGet(0))
        attribute = driver.CUdevice_attribute

        def value(name: str) -> int:
            wanted = getattr(attribute, f"CU_DEVICE_ATTRIBUTE_{name}")
            return int(_done(driver.cuDeviceGetAttribute(wanted, device)))

        self.multiprocessors = value("MULTIPROCESSOR_COUNT")
        major, minor = value("COMPUTE_CAPABILITY_MAJOR"), value("COMPUTE_CAPABILITY_MINOR")
        self.architecture = f"sm_{major}{minor}"
        self._context = _done(driver.cuDevicePrimaryCtxRetain(device))
        _done(driver.cuCtxSetCurrent(self._context))
        self.stream = _done(driver.cuStreamCreate(driver.CUstream_flags.CU_STREAM_NON_BLOCKING))
        self._functions: dict[tuple[str, str], Any] = {}

    def use(self) -> None:
        """Makes this device the calling thread's."""
        _done(driver.cuCtxSetCurrent(self._context))

    @contextmanager
    def captured(self) -> Iterator[Graph]:
        """All that goes into the stream meanwhile is not done, but becomes a graph."""
        graph = Graph()
        mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        _done(driver.cuStreamBeginCapture(self.stream, mode))
        try:
            yield graph
        finally:
            captured = _done(driver.cuStreamEndCapture(self.stream))
        graph.executable = _done(driver.cuGraphInstantiate(captured, 0))
        _done(driver.cuGraphDestroy(captured))

    def replay(self, executable: Any) -> None:
        """Does once what was captured."""
        _done(driver.cuGraphLaunch(executable, self.stream))

    def upload(self, array: Array) -> Memory:
        """A copy on the device."""
        memory = Memory(array.nbytes)
        self.write(memory, np.ascontiguousarray(array))
        return memory

    def write(self, buffer: Memory, array: Array) -> None:
        """New numbers for a buffer, in the stream; pageable memory is copied before it returns."""
        array = np.ascontiguousarray(array)
        _done(
            driver.cuMemcpyHtoDAsync(buffer.address, array.ctypes.data, array.nbytes, self.stream)
        )

    def copy_rows(
        self, to: int, to_pitch: int, source: int, source_pitch: int, width: int, rows: int
    ) -> None:
        """Rows of `width` bytes from one address to another, in the stream.

        to_pitch, source_pitch: bytes from one row to the next.
        """
        copy = driver.CUDA_MEMCPY2D()
        device = driver.CUmemorytype.CU_MEMORYTYPE_DEVICE
        copy.srcMemoryType = copy.dstMemoryType = device
        copy.dstDevice, copy.dstPitch = to, to_pitch
        copy.srcDevice, copy.srcPitch = source, source_pitch
        copy.WidthInBytes, copy.Height = width, rows
        _done(driver.cuMemcpy2DAsync(copy, self.stream))

    def zeros(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Memory:
        """New memory, all zero."""
        memory = Memory(int(np.prod(shape)) * np.dtype(dtype).itemsize)
        self.clear(memory)
        return memory

    def clear(self, buffer: Memory) -> None:
        """Makes a buffer zero again, in the stream."""
        _done(driver.cuMemsetD8Async(buffer.address, 0, buffer.size, self.stream))

    def download(self, buffer: Memory, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """A copy on the host of what all launches before have left."""
        array: Array = np.empty(shape, dtype)
        _done(
            driver.cuMemcpyDtoHAsync(array.ctypes.data, buffer.address, array.nbytes, self.stream)
        )
        _done(driver.cuStreamSynchronize(self.stream))
        return array

    def synchronize(self) -> None:
        """Waits until all launches are done."""
        _done(driver.cuStreamSynchronize(self.stream))

    def launch(self, launch: Launch, call: ctypes.Structure) -> None:
        """Runs a kernel. Raises KernelError if it cannot be launched.

        Blocks that wait for each other are launched together, which the driver refuses unless
        all of them are resident.
        """
        function = self._function(launch)
        argument = (ctypes.c_void_p * 1)(ctypes.addressof(call))
        if launch.together:
            self._check_resident(launch, function)
            start = driver.cuLaunchCooperativeKernel
        else:
            start = driver.cuLaunchKernel
        rest = () if launch.together else (0,)
        _done(
            start(
                *(function, *launch.grid, launch.block, 1, 1, 0, self.stream),
                *(ctypes.addressof(argument), *rest),
            )
        )

    def _function(self, launch: Launch) -> Any:
        key = launch.source, launch.kernel
        if key not in self._functions:
            image = build(launch.source, self.architecture)
            module = _done(driver.cuModuleLoadData(image.code))
            self._functions[key] = _done(driver.cuModuleGetFunction(module, launch.kernel.encode()))
        return self._functions[key]

    def _check_resident(self, launch: Launch, function: Any) -> None:
        each = _done(driver.cuOccupancyMaxActiveBlocksPerMultiprocessor(function, launch.block, 0))
        room = int(each) * self.multiprocessors
        wanted = int(np.prod(launch.grid))
        if wanted > room:
            raise KernelError(
                f"{launch.kernel} with {wanted} blocks, of which {room} are resident here; its"
                f" blocks wait for each other, so ask for {room} at most"
            )


def _done(result: tuple[Any, ...]) -> Any:
    """What a call of the driver gave. Raises KernelError with the driver's name for a failure."""
    status, *values = result
    if status != driver.CUresult.CUDA_SUCCESS:
        raise driver_error(status.name)
    return values[0] if values else None
