"""A camera that shows coloured blocks moving on a table."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.cameras import CameraSource, Frame
from dreamvla_edge.runtime.cameras.pace import Pace
from dreamvla_edge.runtime.cameras.source import check_options
from dreamvla_edge.runtime.specification import CameraSpecification

_TABLE = (176, 158, 132)
_COLOURS = ((200, 48, 40), (44, 120, 200), (236, 196, 60), (60, 160, 84))
_BLOCK = 0.1  # edge of a block, share of the table's edge
_NOISE = 3  # brightest noise of the sensor, plus one
_SPEED = 0.02  # most that a block moves per frame, share of the table's edge


def simulated_camera(source: CameraSource, raw: CameraSpecification) -> SimulatedCamera:
    """The kind `simulated` of a robot file: `fps` frames a second.

    options: `seed` (0) and `black` (false), see SimulatedCamera. Raises ObservationError at others.
    """
    check_options(source, ("seed", "black"))
    seed, black = int(source.options.get("seed", 0)), bool(source.options.get("black", False))
    return SimulatedCamera(raw, seed, black, source.fps)


class SimulatedCamera:
    """Frames of one role, without end: the n-th frame depends on seed, role and n only.

    specification: role and frame size [pixel]; the wrist camera sees the middle third of what
    the primary camera sees. black: a lens with its cap on. The blocks know nothing of the arm.
    rate_hz: frames per second; without it there is a new one whenever it is asked for.
    """

    def __init__(
        self,
        specification: CameraSpecification,
        seed: int = 0,
        black: bool = False,
        rate_hz: float | None = None,
    ) -> None:
        self._specification = specification
        self._black = black
        self._pace = None if rate_hz is None else Pace(rate_hz)
        self._count = 0
        # No two pictures of a real sensor are equal, not even of nothing.
        self._sensor = np.random.default_rng((seed, specification.role == "wrist"))
        # One stream per seed, none per role: both cameras look at the same table.
        random = np.random.default_rng(seed)
        self._start = random.uniform(0, 2, (len(_COLOURS), 2))
        self._speed = random.uniform(-_SPEED, _SPEED, (len(_COLOURS), 2))

    def read(self) -> Frame:
        """The next frame, stamped now; drawn before it is due, since a sensor draws nothing."""
        size = (self._specification.height, self._specification.width)
        image = np.zeros((*size, 3), np.uint8) if self._black else self._draw(size)
        image += self._sensor.integers(0, _NOISE, image.shape, np.uint8)
        self._count += 1
        stamp_s = time.monotonic() if self._pace is None else self._pace.wait()
        return Frame(image, stamp_s)

    def close(self) -> None:
        """Nothing to give back."""

    def _draw(self, size: tuple[int, int]) -> NDArray[np.uint8]:
        low, high = (1 / 3, 2 / 3) if self._specification.role == "wrist" else (0.0, 1.0)
        rows, columns = (low + (high - low) * (np.arange(n) + 0.5) / n for n in size)
        image = np.full((*size, 3), _TABLE, np.uint8)
        # A triangle wave: every block bounces off the edges of the table.
        way = (self._start + self._count * self._speed) % 2
        for (x, y), colour in zip(np.minimum(way, 2 - way) * (1 - _BLOCK), _COLOURS, strict=True):
            inside = np.ix_(
                (rows >= y) & (rows < y + _BLOCK), (columns >= x) & (columns < x + _BLOCK)
            )
            image[inside] = colour
        return image
