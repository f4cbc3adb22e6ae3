"""Kinds of cameras, and what becomes of a frame whose size is not the specification's."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from cameras.sources import picture, specification
from dreamvla_edge.runtime.cameras import CAMERAS, CameraSource, open_camera
from dreamvla_edge.runtime.cameras.fit import fitted, native_specification, raw_specification
from dreamvla_edge.runtime.errors import ObservationError

OWN = "cameras.sources:OwnCamera"


def source(**fields: Any) -> CameraSource:
    """As read from a robot file."""
    return msgspec.convert({"kind": OWN, **fields}, CameraSource)


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    """No import is tried."""
    with pytest.raises(ObservationError, match=f"one of {', '.join(sorted(CAMERAS))}, or module:"):
        open_camera(source(kind="polaroid"), specification())


@pytest.mark.parametrize("kind", ["no.such.module:Camera", "cameras.sources:NoSuchCamera"])
def test_an_own_class_that_is_not_there(kind: str) -> None:
    """The error names it."""
    with pytest.raises(ObservationError, match=kind):
        open_camera(source(kind=kind), specification())


def test_an_own_class_works_like_a_row_of_the_table() -> None:
    """And a frame of the right size passes bit for bit."""
    camera = open_camera(source(), specification())
    assert np.array_equal(camera.read().image, picture())
    camera.close()


def test_a_wrong_size_is_an_error_and_never_resized_silently() -> None:
    """It names both sizes."""
    camera = open_camera(source(options={"wrong": True}), specification())
    with pytest.raises(ObservationError, match=r"\(7, 7, 3\)(.|\n)*\(48, 64, 3\)"):
        camera.read()


def test_a_larger_frame_is_cropped_in_the_centre_and_reduced() -> None:
    """640 x 480 to CALVIN's 200 x 200: the middle 480 columns, as Pillow resizes them."""
    wanted = specification(200, 200)
    camera = open_camera(source(width=640, height=480), wanted)
    middle = Image.fromarray(picture(480, 640)[:, 80:560])
    expected = np.asarray(middle.resize((200, 200), Image.Resampling.BICUBIC))
    assert np.array_equal(camera.read().image, expected)


def test_the_crop_of_the_robot_file() -> None:
    """Its own rows and columns, of the raw frame; nothing is resized if they fit."""
    kept = source(width=640, height=480, crop=(10, 20, 48, 64))
    frame = open_camera(kept, specification()).read()
    assert np.array_equal(frame.image, picture(480, 640)[10:58, 20:84])


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotation_is_clockwise(degrees: int) -> None:
    """As Pillow's, which turns the other way; a quarter turn swaps what is asked of the device."""
    size = (48, 64)
    turned = source(rotate=degrees)
    raw = raw_specification(turned, specification(*size))
    assert (raw.height, raw.width) == (size if degrees == 180 else size[::-1])
    image = picture(raw.height, raw.width)
    expected = np.asarray(Image.fromarray(image).rotate(-degrees, expand=True))
    assert np.array_equal(fitted(image, turned, specification(*size)), expected)


def test_a_crop_is_turned_with_its_frame() -> None:
    """First the crop, then the rotation."""
    turned = source(width=100, height=80, crop=(3, 5, 64, 48), rotate=90)
    frame = open_camera(turned, specification()).read()
    assert np.array_equal(frame.image, np.rot90(picture(80, 100)[3:67, 5:53], -1))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"width": 64, "height": 48, "crop": (0, 0, 49, 64)}, "reaches beyond its frame of 48 x"),
        ({"width": 99, "height": 99, "crop": (0, 0, 90, 90)}, "is 90 x 90 after"),
        ({"width": 99, "height": 99, "crop": (0, 0, 48, 64), "rotate": 90}, "is 64 x 48 after"),
    ],
)
def test_an_impossible_crop_is_refused_before_the_device_is_opened(
    fields: dict[str, Any], message: str
) -> None:
    """A stretched picture is none the network knows."""
    with pytest.raises(ObservationError, match=message):
        open_camera(source(**fields), specification())


@pytest.mark.parametrize(
    "fields",
    [
        {"width": 640},
        {"height": -1, "width": -1},
        {"fps": 0},
        {"fps": float("nan")},
        {"rotate": 45},
        {"crop": (0, 0, 0, 10)},
        {"crop": (-1, 0, 10, 10)},
        {"kind": ""},
        {"colour": "red"},
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(fields: dict[str, Any]) -> None:
    """When the robot file is read."""
    with pytest.raises(msgspec.ValidationError):
        source(**fields)


def test_without_a_bundle_nothing_is_resized() -> None:
    """Native frames have the size of what is left after crop and rotation."""
    turned = source(width=100, height=80, crop=(3, 5, 40, 30), rotate=270)
    native = native_specification(turned, "wrist")
    assert (native.role, native.height, native.width) == ("wrist", 30, 40)
    frame = open_camera(turned, native).read()
    assert np.array_equal(frame.image, np.rot90(picture(80, 100)[3:43, 5:35]))
