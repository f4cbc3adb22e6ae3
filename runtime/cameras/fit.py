"""From the frame that a device delivers to the frame that the network's specification names."""

from __future__ import annotations

from typing import Literal

import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from dreamvla_edge.runtime.errors import ObservationError
from dreamvla_edge.runtime.specification import CameraSpecification

from .camera import Camera, Frame
from .source import CameraSource

Image = NDArray[np.uint8]
VGA = (480, 640)
"""Height and width [pixel] where nobody names them: every camera has this mode."""


def raw_specification(
    source: CameraSource, specification: CameraSpecification
) -> CameraSpecification:
    """What the device itself must deliver: the source's size, or the specification's.

    Raises ObservationError if the source's crop does not lie inside that frame, or does not have
    the aspect ratio of the specification (half a pixel of rounding is allowed).
    """
    height, width = specification.height, specification.width
    if source.rotate in (90, 270):
        height, width = width, height
    if source.height:
        height, width = source.height, source.width
    if source.crop is not None:
        _check_crop(source.crop, source.rotate in (90, 270), height, width, specification)
    return replace(specification, height=height, width=width, crop=None, flip="none")


def native_specification(
    source: CameraSource, role: Literal["primary", "wrist"]
) -> CameraSpecification:
    """What the source gives without a bundle's wishes: after crop and rotation, never resized."""
    height, width = (source.height, source.width) if source.height else VGA
    if source.crop is not None:
        height, width = source.crop[2:]
    if source.rotate in (90, 270):
        height, width = width, height
    return CameraSpecification(role=role, height=height, width=width)


def fitted(image: Image, source: CameraSource, specification: CameraSpecification) -> Image:
    """The frame (specification.height, specification.width, 3) of a raw frame (h, w, 3).

    Cropped, turned, then reduced to the specification's aspect ratio and size. A frame that
    arrives in the right size is passed on bit for bit. Resampled as `preprocess` does: bicubic
    with antialiasing.
    """
    if source.crop is not None:
        top, left, height, width = source.crop
        image = image[top : top + height, left : left + width]
    image = np.rot90(image, -source.rotate // 90)  # a view; negative: clockwise
    height, width = specification.height, specification.width
    if image.shape[:2] == (height, width):
        return np.ascontiguousarray(image)
    if source.crop is None:
        image = _with_aspect(image, height, width)
    from PIL import Image as Picture

    picture = Picture.fromarray(np.ascontiguousarray(image))
    return np.asarray(picture.resize((width, height), Picture.Resampling.BICUBIC))


class FittedCamera:
    """A camera whose raw frames are made to fit the specification."""

    def __init__(
        self, camera: Camera, source: CameraSource, specification: CameraSpecification
    ) -> None:
        self._camera, self._source, self._specification = camera, source, specification
        raw = raw_specification(source, specification)
        self._expected = (raw.height, raw.width, 3)

    def read(self) -> Frame:
        """The next frame, of the specification's size and with the stamp of the capture.

        Raises ObservationError if none comes, or one that is not what was asked of the device.
        """
        frame = self._camera.read()
        if frame.image.dtype != np.uint8 or frame.image.shape != self._expected:
            role = self._specification.role
            raise ObservationError(
                f"the {role} camera delivers frames of shape {frame.image.shape} and type"
                f" {frame.image.dtype}",
                f"(height, width, 3) = {self._expected} of uint8",
                "set the camera's width and height in the robot file to what it delivers;"
                " the frame is then cropped and resized",
            )
        return Frame(fitted(frame.image, self._source, self._specification), frame.stamp_s)

    def close(self) -> None:
        """Gives the device back."""
        self._camera.close()


def _with_aspect(image: Image, height: int, width: int) -> Image:
    """The largest centred part of the image with the aspect ratio height : width."""
    rows, columns = image.shape[:2]
    kept_rows = min(rows, round(columns * height / width))
    kept_columns = min(columns, round(rows * width / height))
    top, left = (rows - kept_rows) // 2, (columns - kept_columns) // 2
    return image[top : top + kept_rows, left : left + kept_columns]


def _check_crop(
    crop: tuple[int, int, int, int],
    turned: bool,
    height: int,
    width: int,
    specification: CameraSpecification,
) -> None:
    """height, width: of the raw frame [pixel]; turned: by a quarter, so that the sides swap."""
    top, left, rows, columns = crop
    if top + rows > height or left + columns > width:
        raise ObservationError(
            f"the crop {crop} of the {specification.role} camera reaches beyond its frame of"
            f" {height} x {width}",
            "(top, left, height, width) inside the frame",
            "correct the crop in the robot file",
        )
    wanted_height, wanted_width = specification.height, specification.width
    if turned:
        rows, columns = columns, rows
    if abs(rows * wanted_width / wanted_height - columns) > 0.5 and (
        abs(columns * wanted_height / wanted_width - rows) > 0.5
    ):
        raise ObservationError(
            f"the crop of the {specification.role} camera is {rows} x {columns} after turning",
            f"the aspect ratio of the network's frame, {wanted_height} x {wanted_width}",
            "change the crop in the robot file: a stretched picture is none the network knows",
        )
