"""Cameras by name. To add one: a class as `Camera`, a row in CAMERAS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.errors import ObservationError
from dreamvla_edge.runtime.specification import CameraSpecification


@dataclass(frozen=True, eq=False)
class Frame:
    """image: RGB (height, width, 3) uint8; stamp_s: monotonic time of the capture [s]."""

    image: NDArray[np.uint8]
    stamp_s: float


class Camera(Protocol):
    """A source of frames of the size that its specification names."""

    def read(self) -> Frame:
        """The newest frame. Raises ObservationError if the camera gives none."""

    def close(self) -> None:
        """Gives the device back."""


# kind of camera -> (module, class), imported on request
CAMERAS: Mapping[str, tuple[str, str]] = {
    "simulated": ("dreamvla_edge.sim.camera", "SimulatedCamera"),
}


def open_camera(kind: str, specification: CameraSpecification) -> Camera:
    """Opens a camera for one role. Raises ObservationError for an unknown kind."""
    if kind not in CAMERAS:
        raise ObservationError(
            f"no kind of camera is called {kind!r}",
            f"one of {', '.join(sorted(CAMERAS))}",
            "name one of them",
        )
    module, name = CAMERAS[kind]
    camera: Camera = getattr(import_module(module), name)(specification)
    return camera
