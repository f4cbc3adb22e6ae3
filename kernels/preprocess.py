"""Camera bytes to the network's images, on a device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .calls import Axis, CameraCall, PreprocessCall
from .device import Device, Launch, halves

Array = npt.NDArray[Any]
Frame = npt.NDArray[np.uint8]

_FRACTION_BITS, _THREADS = 22, 256


@dataclass(frozen=True, eq=False)
class Resampling:
    """Along one axis: output i sums weight[i, j] · input first[i] + j over j < count[i].

    first, count (size) int32; weight (size, taps) int32, with 22 fractional bits; an input index
    is the pixel origin + step · index of the frame.
    """

    first: Array
    count: Array
    weight: Array
    origin: int
    step: int


def resampling(
    frame: int, crop: tuple[int, int] | None, flip: bool, length: int, kept: int
) -> Resampling:
    """One axis of a frame `frame` pixels long.

    flip: seen from its other end; then crop (first, length) is cut out, the rest made `length`
    pixels long (Pillow's bicubic with antialiasing) and the `kept` pixels in the middle taken, an
    exact half to the even side.
    """
    start, source = crop or (0, frame)
    first, count, weight = _bicubic(source, length)
    left = round((length - kept) / 2)
    cut = slice(left, left + kept)
    return Resampling(
        first[cut],
        count[cut],
        np.ascontiguousarray(weight[cut]),
        frame - 1 - start if flip else start,
        -1 if flip else 1,
    )


def normalised(mean: Array, std: Array) -> Array:
    """(3, 256) float32: (byte/255 - mean)/std of each channel."""
    value = np.arange(256, dtype=np.float32) / np.float32(255)
    mean, std = np.asarray(mean, np.float32), np.asarray(std, np.float32)
    found: Array = (value - mean[:, None]) / std[:, None]
    return found


def preprocess(
    device: Device,
    frames: tuple[Frame, Frame],
    axes: tuple[tuple[Resampling, Resampling], tuple[Resampling, Resampling]],
    normal: Array,
) -> Array:
    """As `references.preprocess`, in halves."""
    kept, cameras = [], []
    for frame, pair in zip(frames, axes, strict=True):
        pixels = device.upload(np.ascontiguousarray(frame))
        kept.append(pixels)
        along = []
        for axis in pair:
            arrays = [device.upload(a) for a in (axis.first, axis.count, axis.weight)]
            kept += arrays
            addresses = (array.address for array in arrays)
            along.append(Axis(*addresses, axis.weight.shape[1], axis.origin, axis.step))
        cameras.append(CameraCall(pixels.address, *along, frame.shape[1]))
    size = len(axes[0][0].first)
    table = device.upload(halves(normal))
    image = device.zeros((2, 3, size, size), np.float16)
    call = PreprocessCall((CameraCall * 2)(*cameras), table.address, image.address, size)
    grid = ((size * size + _THREADS - 1) // _THREADS, 2, 1)
    device.launch(Launch("preprocess.cu", "preprocess", grid, _THREADS), call)
    return device.download(image, (2, 3, size, size), np.float16)


def _bicubic(source: int, length: int) -> tuple[Array, Array, Array]:
    """First input, number of inputs and integer weights of each output (Pillow, Resample.c)."""
    if source == length:
        whole = np.arange(length, dtype=np.int32)
        ones = np.ones(length, np.int32)
        return whole, ones, np.full((length, 1), 1 << _FRACTION_BITS, np.int32)
    scale = source / length
    wide = max(scale, 1.0)
    support = 2.0 * wide
    first, count = np.zeros(length, np.int32), np.zeros(length, np.int32)
    weight = np.zeros((length, math.ceil(support) * 2 + 1), np.int32)
    for i in range(length):
        centre = (i + 0.5) * scale
        low = max(int(centre - support + 0.5), 0)
        high = min(int(centre + support + 0.5), source)
        values = [_cubic((j + low - centre + 0.5) * (1 / wide)) for j in range(high - low)]
        total = sum(values)
        fractions = [value / total * (1 << _FRACTION_BITS) for value in values]
        first[i], count[i] = low, high - low
        weight[i, : high - low] = [int(f - 0.5) if f < 0 else int(f + 0.5) for f in fractions]
    return first, count, weight


def _cubic(x: float) -> float:
    """Keys' cubic convolution with a = -0.5 (IEEE TASSP 29(6), 1981, equation 15)."""
    x = abs(x)
    if x < 1:
        return (1.5 * x - 2.5) * x * x + 1
    if x < 2:
        return ((-0.5 * x + 2.5) * x - 4) * x + 2
    return 0.0
