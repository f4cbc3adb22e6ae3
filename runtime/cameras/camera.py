"""What every camera gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.errors import ObservationError


@dataclass(frozen=True, eq=False)
class Frame:
    """image: RGB (height, width, 3) uint8; stamp_s: monotonic time of the capture [s]."""

    image: NDArray[np.uint8]
    stamp_s: float


class EndOfFrames(ObservationError):
    """A recording has been played: opening it again would play it again."""


class Camera(Protocol):
    """A source of frames."""

    def read(self) -> Frame:
        """The next frame, waited for. Raises ObservationError if none comes.

        EndOfFrames, which is one, says that none will ever come.
        """

    def close(self) -> None:
        """Gives the device back."""
