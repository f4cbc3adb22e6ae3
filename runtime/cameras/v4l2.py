"""Cameras of Linux's own interface, Video4Linux: almost every USB camera."""

from __future__ import annotations

import os
import time

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.errors import ObservationError
from dreamvla_edge.runtime.specification import CameraSpecification

from .camera import Frame
from .opencv import load_opencv
from .source import CameraSource, check_options

PROPERTIES = (
    *("auto_exposure", "auto_wb", "autofocus", "backlight", "brightness", "contrast", "exposure"),
    *("focus", "gain", "gamma", "saturation", "sharpness", "wb_temperature", "zoom"),
)
"""Options that are set in the camera as OpenCV's CAP_PROP_<NAME>, in this order: the automatic
ones first, since they lock the values that follow."""
_BUFFERS = 2  # the driver fills one while the other is decoded; more would only add age
_ATTEMPTS = 3  # a frame that is damaged on the wire cannot be decoded; the next one can


class V4l2Camera:
    """A camera through OpenCV (the extra [camera]).

    device: best a path of /dev/v4l/by-path, which names the socket; /dev/video0 is whatever was
    plugged in first. `dreamvla camera scan` lists them with their sizes and rates.
    options: `fourcc` (default "MJPG": uncompressed pictures of two cameras do not fit through one
    USB 2 hub) and the PROPERTIES. A fixed exposure keeps the rate in a dark room.
    Frames carry the time at which the driver had captured them, not the time after decoding.
    """

    def __init__(self, source: CameraSource, raw: CameraSpecification) -> None:
        """Raises ObservationError if it cannot be opened or refuses size, rate or format."""
        fourcc = str(source.options.get("fourcc", "MJPG"))
        check_options(source, ("fourcc", *PROPERTIES))
        cv2 = self._cv2 = load_opencv()
        self._device = source.device
        if not os.path.exists(source.device):
            raise ObservationError(
                f"there is no {source.device or 'device'}",
                "a path such as /dev/v4l/by-path/…-video-index0",
                "plug the camera in; `dreamvla camera scan` lists what is there",
            )
        self._capture = cv2.VideoCapture(source.device, cv2.CAP_V4L2)
        try:
            if not self._capture.isOpened():
                raise ObservationError(
                    f"{source.device} cannot be opened as a camera",
                    "a V4L2 device that no other program uses and that this user may read",
                    "close other programs that show it; join the group `video`;"
                    " of a camera's two devices take the one that ends in index0",
                )
            self._configure(source, raw, fourcc)
            self._stamped = self._first_stamp_is_monotonic()
        except BaseException:
            self._capture.release()
            raise

    def read(self) -> Frame:
        """The next frame; waits a second at most. Raises ObservationError if none comes."""
        for _ in range(_ATTEMPTS):
            if not self._capture.grab():
                break
            arrival_s = time.monotonic()
            stamp_s = self._driver_stamp_s() if self._stamped else arrival_s
            if (image := self._picture()) is not None:
                return Frame(image, stamp_s)
        raise ObservationError(
            f"{self._device} gives no frame",
            "a frame within a second",
            "check its cable and the power of the USB hub; two cameras may need two hubs",
        )

    def close(self) -> None:
        """Gives the device back."""
        self._capture.release()

    def _configure(self, source: CameraSource, raw: CameraSpecification, fourcc: str) -> None:
        """Asks for format, size and rate and compares with what the driver then says."""
        cv2, capture = self._cv2, self._capture
        # In this order: the format decides which sizes there are, the size which rates.
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*fourcc.ljust(4)[:4]))
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, raw.width)
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, raw.height)
        capture.set(cv2.CAP_PROP_FPS, source.fps)
        capture.set(cv2.CAP_PROP_BUFFERSIZE, _BUFFERS)
        # OpenCV gives the picture before once more, under a new stamp, when it cannot decode one:
        # so JPEGs are decoded here. (Before 4.12 half a JPEG became half a picture.)
        self._jpeg = fourcc == "MJPG"
        capture.set(cv2.CAP_PROP_CONVERT_RGB, float(not self._jpeg))
        for name in PROPERTIES:
            if name in source.options:
                value = float(source.options[name])
                if not capture.set(getattr(cv2, f"CAP_PROP_{name.upper()}"), value):
                    raise ObservationError(
                        f"{source.device} does not take {name} = {value:g}",
                        "an option that this camera has",
                        "remove it from the options in the robot file",
                    )
        found = (
            int(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little").decode("latin-1"),
            int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
            int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            float(capture.get(cv2.CAP_PROP_FPS)),
        )
        wanted = (fourcc, raw.width, raw.height, source.fps)
        rate_fits = abs(found[3] - source.fps) <= 0.01 * source.fps
        if found[:3] != wanted[:3] or not rate_fits:
            raise ObservationError(
                f"{source.device} gives " + _mode(*found),
                _mode(*wanted) + ", as the robot file asks",
                "choose a mode that `dreamvla camera scan` lists and set width, height, fps and"
                " options.fourcc of this camera",
            )

    def _picture(self) -> NDArray[np.uint8] | None:
        """The frame that was grabbed, RGB; None if it was damaged on its way."""
        cv2 = self._cv2
        taken, data = self._capture.retrieve()
        if not taken or data is None:
            return None
        if not self._jpeg:
            return np.asarray(cv2.cvtColor(data, cv2.COLOR_BGR2RGB))
        image = cv2.imdecode(data, cv2.IMREAD_COLOR)
        return None if image is None else np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))

    def _driver_stamp_s(self) -> float:
        # Of the frame grabbed last; V4L2's buffers carry it in the time base of their driver.
        return float(self._capture.get(self._cv2.CAP_PROP_POS_MSEC)) / 1e3

    def _first_stamp_is_monotonic(self) -> bool:
        """Whether the driver stamps by the monotonic clock, as UVC cameras' does.

        Decided once: later an old stamp is the truth about a frame that lay in a buffer.
        """
        grabbed = bool(self._capture.grab())
        age_s = time.monotonic() - self._driver_stamp_s()
        return grabbed and 0.0 <= age_s < 1.0


def _mode(fourcc: str, width: int, height: int, fps: float) -> str:
    return f"{fourcc} {width} x {height} at {fps:g} frames per second"
