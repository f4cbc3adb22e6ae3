"""Where a picture moves: the only part of it that is worth dreaming."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MOVES_PX = 1.0 / 224
"""Least mean displacement of a patch, in widths of the picture: a pixel as released."""
_CHANGES = 2.0
"""Least mean change of a patch's grey levels: flow goes astray where nothing is to be seen."""


def moving(
    before: NDArray[np.uint8], after: NDArray[np.uint8], patch: int, dilate: bool
) -> NDArray[np.bool_]:
    """Patches (N,), row by row, whose mean displacement is a pixel of 224 or more.

    before, after (h, w, 3). dilate: with their eight neighbours, as released for the primary
    camera. The released data come with point tracks; dense optical flow (DIS, Kroeger et al.,
    arXiv 1603.03590) stands in for them, since nobody's recordings have any.
    """
    import cv2

    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in (before, after)]
    flow = np.zeros((*grey[0].shape, 2), np.float32)
    cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(grey[0], grey[1], flow)
    distance = _mean(np.linalg.norm(flow, axis=-1), patch)
    change = _mean(np.abs(np.subtract(*grey, dtype=np.float32)), patch)
    moves = (distance > _MOVES_PX * before.shape[1]) & (change > _CHANGES)
    if dilate:
        moves = cv2.dilate(moves.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    found: NDArray[np.bool_] = moves.reshape(-1)
    return found


def _mean(values: NDArray[np.floating], patch: int) -> NDArray[np.floating]:
    """Of every patch: (h, w) → (rows, columns)."""
    rows, columns = values.shape[0] // patch, values.shape[1] // patch
    found: NDArray[np.floating] = values.reshape(rows, patch, columns, patch).mean((1, 3))
    return found
