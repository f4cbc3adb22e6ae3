"""Frames that were recorded: a folder of pictures, a video, an archive of arrays."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Generator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.errors import ObservationError
from dreamvla_edge.runtime.specification import CameraSpecification

from .camera import EndOfFrames, Frame
from .pace import Pace
from .source import CameraSource, check_options

Image = NDArray[np.uint8]
Images = Generator[Image, None, None]
PICTURES = {".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}


class FileCamera:
    """Plays `device` at `fps`, every frame in its order, and begins again after the last.

    device: a folder (its pictures in the order of their names), a `.npz` archive (frames
    (n, height, width, 3) uint8 RGB: the array called after the role, or else the only one) or a
    video, which needs OpenCV. A frame is stamped when it is played.
    options: `loop = false` ends after the last frame: then `read` raises EndOfFrames.
    """

    def __init__(self, source: CameraSource, raw: CameraSpecification) -> None:
        """Raises ObservationError if the file cannot be played."""
        check_options(source, ("loop",))
        self._path, self._loop = Path(source.device), bool(source.options.get("loop", True))
        self._play = _player(self._path, raw.role)
        self._frames = self._play()
        # The first image is read now: an error belongs to the start, not into the first cycle.
        self._next = self._advance()
        if self._next is None:
            raise _unusable(self._path, "there is no frame in it")
        self._pace = Pace(source.fps)

    def read(self) -> Frame:
        """The next frame, when it is due."""
        if self._next is None:
            raise EndOfFrames(
                f"{self._path} has been played to its end",
                "another frame",
                "start again, or set options.loop of this camera to true",
            )
        stamp_s = self._pace.wait()
        frame = Frame(self._next, stamp_s)
        self._next = self._advance()
        return frame

    def close(self) -> None:
        """Closes the file."""
        self._frames.close()

    def _advance(self) -> Image | None:
        """The next image, or None at the end."""
        image = next(self._frames, None)
        if image is None and self._loop:
            self._frames = self._play()
            image = next(self._frames, None)
        return image


def _player(path: Path, role: str) -> Callable[[], Images]:
    """What plays the file once. Raises ObservationError if there is none."""
    if path.is_dir():
        return lambda: _pictures(path)
    if not path.is_file():
        raise _unusable(path, "it does not exist")
    if path.suffix == ".npz":
        return lambda: _archive(path, role)
    return lambda: _video(path)


def _pictures(folder: Path) -> Images:
    from PIL import Image as Picture

    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in PICTURES:
            try:
                with Picture.open(path) as picture:
                    image = np.asarray(picture.convert("RGB"))
            except OSError as error:
                raise _unusable(path, str(error)) from error
            yield image


def _archive(path: Path, role: str) -> Images:
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = list(archive)
            name = role if role in names else names[0] if len(names) == 1 else None
            if name is None:
                raise _unusable(path, f"it holds {', '.join(names)}, but nothing called {role}")
            frames = archive[name]
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise _unusable(path, str(error)) from error
    if frames.dtype != np.uint8 or frames.ndim != 4:
        raise _unusable(path, f"{name} is of {frames.dtype} and shape {frames.shape}")
    yield from frames


def _video(path: Path) -> Images:
    from .opencv import load_opencv

    cv2 = load_opencv()
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise _unusable(path, "OpenCV cannot play it")
        while (read := capture.read())[0]:
            yield cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB)
    finally:
        capture.release()


def _unusable(path: Path, why: str) -> ObservationError:
    return ObservationError(
        f"{path} cannot be played ({why})",
        "a folder of pictures, a video, or a .npz of frames (n, height, width, 3) uint8",
        "correct `device` of this camera in the robot file",
    )
