"""Camera bytes to the network's images."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dreamvla_edge.kernels.preprocess import Resampling

Array = npt.NDArray[Any]
Frame = npt.NDArray[np.uint8]

_FRACTION_BITS = 22


def preprocess(
    frames: tuple[Frame, Frame],
    axes: tuple[tuple[Resampling, Resampling], tuple[Resampling, Resampling]],
    normal: Array,
) -> Array:
    """Images (2, 3, size, size) of two frames (height, width, 3), in the type of `normal`.

    axes: of each camera rows, then columns; normal (3, 256): what each byte becomes.
    """
    images = []
    for frame, (rows, columns) in zip(frames, axes, strict=True):
        wide = _along(frame.transpose(1, 0, 2), columns)
        picture = _along(wide.transpose(1, 0, 2), rows)
        images.append(np.stack([normal[c][picture[..., c]] for c in range(3)]))
    return np.stack(images)


def _along(pixels: Frame, axis: Resampling) -> Frame:
    """Pixels (n, m, 3) resampled along their first axis: bytes (size, m, 3)."""
    out = []
    for first, count, weight in zip(axis.first, axis.count, axis.weight, strict=True):
        at = axis.origin + axis.step * np.arange(first, first + count)
        total = np.tensordot(weight[:count].astype(np.int64), pixels[at].astype(np.int64), 1)
        out.append(np.clip(total + (1 << (_FRACTION_BITS - 1)) >> _FRACTION_BITS, 0, 255))
    return np.stack(out).astype(np.uint8)
