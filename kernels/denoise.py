"""A whole diffusion sampler as one launch, on a device."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .calls import DenoiseCall
from .denoiser import DenoiserWeights
from .device import Buffer, Device, KernelError, Launch, halves
from .table import SamplerTable

Array = npt.NDArray[Any]

_THREADS, _UNIT, _PART, _ROWS, _TOKENS, _ACTION = 256, 64, 64, 128, 16, 7


class Denoised(NamedTuple):
    """What a launch leaves.

    actions (P, 7); starts (n, P, 7): the prediction of the actions at every point of the grid;
    change (P, 7): by how much the last evaluation changed that at the last point.
    """

    actions: Array
    starts: Array
    change: Array


class Resident:
    """A denoiser's weights on a device, for kernels of any number of samplers."""

    def __init__(self, device: Device, weights: DenoiserWeights) -> None:
        def single(array: Array) -> Buffer:
            return device.upload(np.ascontiguousarray(array, np.float32))

        self.matrices = device.upload(_matrices(weights))
        self.scales = device.upload(_scales(weights))
        self.condition = device.upload(halves(weights.condition.weight))
        self.condition_bias = single(weights.condition.bias)
        self.no_condition = single(weights.no_condition)
        self.position = single(weights.position)
        self.x = single(weights.x.weight.T), single(weights.x.bias)
        self.out = single(weights.out.weight), single(weights.out.bias)


class DenoiseKernel:
    """One denoiser and one sampler, resident on a device.

    blocks: of the grid, all of which must be resident; None for one per multiprocessor; resident:
    the same weights, if they are on the device already. features (P, D) in halves and noise (P, 7)
    in float32 are the buffers that `launch` reads. Raises KernelError if the kernel does not take
    the network or the sampler.
    """

    def __init__(
        self,
        device: Device,
        weights: DenoiserWeights,
        table: SamplerTable,
        blocks: int | None = None,
        resident: Resident | None = None,
    ) -> None:
        self._device, self.table = device, table
        self._steps = len(weights.position) // 2
        width, features = weights.condition.weight.shape
        hidden = len(weights.blocks[0].fc1.weight)
        rows = table.largest * table.branches * 2 * self._steps
        _check(width, hidden, features, weights.heads, rows, 2 * self._steps)
        grid = blocks or device.multiprocessors
        split = _split(width, hidden, grid)
        integers = weights.blocks[0].qkv.weight.dtype == np.int8
        kernel = "denoise_int8" if integers else "denoise_half"
        self._launch = Launch("denoise.cu", kernel, (grid, 1, 1), _THREADS, together=True)
        self._kept: list[Buffer] = []
        upload, zeros = self._upload, self._zeros
        self._points = points = len(table.signal)
        self._resident = kept = Resident(device, weights) if resident is None else resident
        self.features = zeros((self._steps, features), np.float16)
        self.noise = zeros((self._steps, _ACTION), np.float32)
        self.actions = zeros((self._steps, _ACTION), np.float32)
        self._counter = zeros((4,), np.uint32)
        self._starts = zeros((points, self._steps, _ACTION), np.float32)
        self._change = zeros((self._steps, _ACTION), np.float32)
        evaluations = np.array(table.evaluations, np.int32)
        levels = np.concatenate(
            [table.signal[:, None], table.sigma[:, None], table.coefficients], 1
        )
        self._call = DenoiseCall(
            *(self.features.address, self.noise.address, self.actions.address),
            *(kept.matrices.address, kept.scales.address, kept.condition.address),
            *(kept.condition_bias.address, kept.no_condition.address),
            upload(np.ascontiguousarray(weights.time, np.float32)),
            kept.position.address,
            *(buffer.address for buffer in (*kept.x, *kept.out)),
            upload(np.ascontiguousarray(levels, np.float32)),
            upload(evaluations),
            zeros((rows, width), np.float32).address,
            zeros((split, rows, width), np.float32).address,
            zeros((self._steps, width), np.float32).address,
            *(self._starts.address, self._change.address),
            *(zeros((points, self._steps, _ACTION), np.float32).address for _ in range(2)),
            zeros((rows, _ACTION), np.float32).address,
            zeros((rows, width), np.float16).address,
            zeros((rows, 3 * width), np.float16).address,
            zeros((rows, width), np.float16).address,
            zeros((rows, hidden), np.float16).address,
            self._counter.address,
            *(width, weights.heads, hidden, len(weights.blocks), features, self._steps),
            *(points, table.branches, len(evaluations), split, table.guidance),
        )

    def __call__(self, features: Array, noise: Array, starts: Array | None = None) -> Denoised:
        """All in float32, from features (P, D) and noise (P, 7).

        starts (n, P, 7): where a sampler that is warm begins.
        """
        device = self._device
        device.write(self.features, halves(features))
        device.write(self.noise, np.ascontiguousarray(noise, np.float32))
        if starts is not None:
            device.write(self._starts, np.ascontiguousarray(starts, np.float32))
        self.launch()
        return Denoised(
            device.download(self.actions, noise.shape, np.float32),
            device.download(self._starts, (self._points, *noise.shape), np.float32),
            device.download(self._change, noise.shape, np.float32),
        )

    def launch(self) -> None:
        """Samples from what the buffers hold."""
        self._device.clear(self._counter)
        self._device.launch(self._launch, self._call)

    def _upload(self, array: Array) -> int:
        self._kept.append(self._device.upload(array))
        return self._kept[-1].address

    def _zeros(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Buffer:
        self._kept.append(self._device.zeros(shape, dtype))
        return self._kept[-1]


def weight_bytes(weights: DenoiserWeights, table: SamplerTable) -> int:
    """Bytes of weights that one launch must read: the blocks once per evaluation, and z's."""
    blocks = sum(layer.weight.size for block in weights.blocks for layer in block.layers)
    size = 1 if weights.blocks[0].qkv.weight.dtype == np.int8 else 2
    return size * blocks * len(table.evaluations) + 2 * int(weights.condition.weight.size)


def _check(width: int, hidden: int, features: int, heads: int, rows: int, tokens: int) -> None:
    if any(length % 16 for length in (width, hidden, features)) or width // heads % 8:
        raise KernelError(
            f"a denoiser of width {width}, hidden width {hidden}, {heads} heads and features of"
            f" {features}; the kernel takes widths that are multiples of 16 and heads of 8"
        )
    if rows > _ROWS or tokens > _TOKENS:
        raise KernelError(
            f"an evaluation of {rows} rows, {tokens} of each sequence; the kernel takes {_ROWS} and"
            f" {_TOKENS}, so take a sampler with fewer times at once"
        )


def _split(width: int, hidden: int, grid: int) -> int:
    """Parts of K in projection and fc2, so that each block has one and none is empty."""
    wanted = -(-grid // -(-width // _UNIT))
    for split in range(min(wanted, width // _PART, hidden // _PART), 1, -1):
        lengths = (-(-inner // split // _PART) * _PART for inner in (width, hidden))
        if all(
            length * (split - 1) < inner
            for length, inner in zip(lengths, (width, hidden), strict=True)
        ):
            return split
    return 1


def _matrices(weights: DenoiserWeights) -> Array:
    parts = [layer.weight for block in weights.blocks for layer in block.layers]
    flat = np.concatenate([part.reshape(-1) for part in parts])
    return flat if flat.dtype == np.int8 else halves(flat)


def _scales(weights: DenoiserWeights) -> Array:
    parts = [
        part
        for block in weights.blocks
        for part in (*(x.scale for x in block.layers), *(x.bias for x in block.layers))
    ]
    return np.concatenate(parts).astype(np.float32)
