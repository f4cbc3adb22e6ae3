"""OpenCV, loaded when a camera or a video needs it."""

from __future__ import annotations

import os
from typing import Any

TIMEOUT_S = 1
"""How long a read waits for a camera that has stopped to deliver [s]."""


def load_opencv() -> Any:
    """The module `cv2`. Raises ModuleNotFoundError if the extra [camera] is not installed."""
    # OpenCV reads this once, before its first V4L2 capture; its default of 10 s would keep the
    # thread of a dead camera, and with it the end of the program, waiting.
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(TIMEOUT_S))
    # And this when it is loaded. What fails is in our errors; its own lines would stand between.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    import cv2

    return cv2
