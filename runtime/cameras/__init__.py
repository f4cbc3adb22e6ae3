"""Cameras by name. To add one: a class as `V4l2Camera`, a row in CAMERAS."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from dreamvla_edge.runtime.errors import ObservationError
from dreamvla_edge.runtime.specification import CameraSpecification

from .camera import Camera, Frame
from .fit import FittedCamera, raw_specification
from .source import CameraSource

__all__ = ["CAMERAS", "Camera", "CameraSource", "Frame", "open_camera"]

CAMERAS: Mapping[str, tuple[str, str]] = {
    "v4l2": ("dreamvla_edge.runtime.cameras.v4l2", "V4l2Camera"),
    "gstreamer": ("dreamvla_edge.runtime.cameras.gstreamer", "GstreamerCamera"),
    "file": ("dreamvla_edge.runtime.cameras.file", "FileCamera"),
    "simulated": ("dreamvla_edge.sim.camera", "simulated_camera"),
    "scene": ("dreamvla_edge.sim.scene.camera", "SceneCamera"),
}
"""Kind → (module, what is called there with a CameraSource and the raw frame's specification);
a module is imported when its camera is asked for."""


def open_camera(source: CameraSource, specification: CameraSpecification) -> Camera:
    """A camera whose frames have the specification's size (height, width, 3).

    source.kind: a name of CAMERAS, or "module:Class" for a class of one's own, which is called as
    those of the table are and delivers raw frames.
    Raises ObservationError for an unknown kind, a device that cannot be opened or does not deliver
    what is asked for, and a size that cannot become the specification's.
    """
    module, _, name = source.kind.partition(":")
    if not (module and name):
        if source.kind not in CAMERAS:
            raise ObservationError(
                f"no kind of camera is called {source.kind!r}",
                f"one of {', '.join(sorted(CAMERAS))}, or module:Class",
                "name one of them",
            )
        module, name = CAMERAS[source.kind]
    raw = raw_specification(source, specification)
    try:
        make = getattr(import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ObservationError(
            f"the camera {source.kind!r} cannot be loaded ({error})",
            f"{name} in {module}",
            "correct the name, or install the package that has it",
        ) from error
    return FittedCamera(make(source, raw), source, specification)
