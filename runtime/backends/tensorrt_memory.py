"""Keys and values that stay on the GPU between two runs of the backbone's engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dreamvla_edge.runtime.keys_and_values import Tensors

from . import Array

if TYPE_CHECKING:
    from dreamvla_edge.kernels.cuda_device import CudaDevice, Memory

_NUMBER = np.dtype(np.float32).itemsize


class DeviceTensor:
    """A tensor (H, n, d) of float32 in a buffer of a device; NumPy sees a copy."""

    def __init__(self, device: CudaDevice, buffer: Memory, shape: tuple[int, ...]) -> None:
        self.device, self.buffer, self.shape = device, buffer, shape

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """Its numbers now."""
        del copy  # always one
        found = self.device.download(self.buffer, self.shape, np.float32)
        return found if dtype is None else found.astype(dtype)


class DeviceKeysAndValues:
    """Two sets of buffers in which tensors lie in turn, so that their addresses are few.

    names: of the tensors; heads, width: H and d; rows: the most that a tensor has.
    """

    def __init__(
        self, device: CudaDevice, names: Sequence[str], heads: int, width: int, rows: int
    ) -> None:
        self._device, self._heads, self._width = device, heads, width
        self._sets = tuple(
            {name: device.zeros((heads * rows * width,), np.float32) for name in names}
            for _ in range(2)
        )

    def empty(self) -> Tensors:
        """In the first set."""
        return self._of(self._sets[0], 0)

    def room(self, rows: int) -> Tensors:
        """In the first set, whose graphs then serve every step of a sliding window."""
        return self._of(self._sets[0], rows)

    def first(self, tensors: Tensors, rows: int) -> Tensors:
        """Copied to the other set."""
        target = self._of(self._other(tensors), rows)
        for name, tensor in target.items():
            self._copy(tensor, 0, tensors[name], rows)
        return target

    def joined(self, tensors: Tensors, outputs: Tensors, rows: int) -> Tensors:
        """Copied to the other set."""
        known = next(iter(tensors.values())).shape[1]
        target = self._of(self._other(tensors), known + rows)
        for name, tensor in target.items():
            self._copy(tensor, 0, tensors[name], known)
            self._copy(tensor, known, outputs[name], rows)
        return target

    def _of(self, buffers: dict[str, Memory], rows: int) -> dict[str, DeviceTensor]:
        shape = (self._heads, rows, self._width)
        return {name: DeviceTensor(self._device, b, shape) for name, b in buffers.items()}

    def _other(self, tensors: Tensors) -> dict[str, Memory]:
        """The set in which these tensors do not lie."""
        name, tensor = next(iter(tensors.items()))
        return self._sets[tensor.buffer is self._sets[0][name]]

    def _copy(self, to: DeviceTensor, at: int, source: DeviceTensor, rows: int) -> None:
        """The first rows of each head to behind the first `at`."""
        if not rows:
            return
        row = self._width * _NUMBER
        self._device.copy_rows(
            to.buffer.address + at * row,
            to.shape[1] * row,
            source.buffer.address,
            source.shape[1] * row,
            rows * row,
            self._heads,
        )
