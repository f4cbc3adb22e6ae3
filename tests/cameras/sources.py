"""Sources, specifications and cameras for the tests of this folder."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.cameras import CameraSource, Frame
from dreamvla_edge.runtime.specification import CameraSpecification

PERIOD_S = 1 / 50


def specification(height: int = 48, width: int = 64, role: str = "primary") -> CameraSpecification:
    """Of one camera's frames."""
    return CameraSpecification(role=role, height=height, width=width)  # type: ignore[arg-type]


def picture(height: int = 48, width: int = 64, seed: int = 0) -> NDArray[np.uint8]:
    """A smooth RGB picture in which no row, column or channel is like another."""
    rows, columns = np.mgrid[:height, :width]
    values = [
        128 + 100 * np.sin(rows / (7 + seed + i) + i) * np.cos(columns / (9 + i)) for i in range(3)
    ]
    return np.stack(values, axis=-1).astype(np.uint8)


class OwnCamera:
    """A camera as a user would write one: `cameras.sources:OwnCamera` in a robot file."""

    def __init__(self, source: CameraSource, raw: CameraSpecification) -> None:
        """Delivers what it is asked for, but for `options.wrong`."""
        size = (raw.height, raw.width)
        self._image = picture(*(size if not source.options.get("wrong") else (7, 7)))

    def read(self) -> Frame:
        """The same picture every time."""
        return Frame(self._image.copy(), time.monotonic())

    def close(self) -> None:
        """Nothing to give back."""


def wait_for(condition: Callable[[], bool], timeout_s: float = 20.0) -> bool:
    """Whether something became true before a generous time was over."""
    end_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end_s:
            return False
        time.sleep(0.002)
    return True
