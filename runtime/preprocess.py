"""From a raw camera frame to the network's image, bit for bit as the released code does it.

The released chain is CLIP's: resize the shorter side (Pillow, bicubic, antialiased, uint8), crop
the centre, divide by 255, subtract the mean, divide by the standard deviation, all in float32.
What differs between cameras, flip and crop, comes first and stands in `CameraSpecification`.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import numpy.typing as npt

from .errors import ObservationError
from .specification import CameraSpecification, Contract

FloatArray = npt.NDArray[np.float32]
Frame = npt.NDArray[np.uint8]

FLIPS = {
    "none": np.s_[:, :],
    "vertical": np.s_[::-1, :],
    "horizontal": np.s_[:, ::-1],
    "both": np.s_[::-1, ::-1],
}
"""By `CameraSpecification.flip`: the index (rows, columns) that flips a frame."""


class Preprocessing(Contract, frozen=True):
    """The network's image: size [pixel] of its sides, and mean and std of red, green, blue.

    The defaults are CLIP's (OpenAI, `clip.load`), with which all released checkpoints were trained.
    """

    size: int = 224
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)
    resample: Literal["bicubic"] = "bicubic"

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError("size must be above zero")
        if not all(math.isfinite(mean) for mean in self.mean):
            raise ValueError("mean must be finite")
        if not all(math.isfinite(std) and std > 0 for std in self.std):
            raise ValueError("std must be finite and above zero")


def preprocess(
    frame: Frame, camera: CameraSpecification, preprocessing: Preprocessing
) -> FloatArray:
    """The image (3, size, size) float32 of a raw RGB frame (height, width, 3) uint8.

    Raises ObservationError if the frame is not what the camera's specification says.
    """
    mean = np.asarray(preprocessing.mean, np.float32)
    std = np.asarray(preprocessing.std, np.float32)
    pixels = square(frame, camera, preprocessing).astype(np.float32)
    image = (pixels / np.float32(255) - mean) / std
    return np.ascontiguousarray(image.transpose(2, 0, 1))


def square(frame: Frame, camera: CameraSpecification, preprocessing: Preprocessing) -> Frame:
    """The picture (size, size, 3) uint8 that `preprocess` makes its image of.

    Raises ObservationError as it does.
    """
    _check(frame, camera)
    frame = frame[FLIPS[camera.flip]]
    if camera.crop is not None:
        top, left, height, width = camera.crop
        frame = frame[top : top + height, left : left + width]
    return _centre(_resized(frame, preprocessing.size), preprocessing.size)


def _resized(frame: Frame, size: int) -> Frame:
    """The frame with its shorter side `size` long, the longer side rounded down."""
    from PIL import Image

    height, width = frame.shape[:2]
    short = min(height, width)
    if short == size:  # as in the original, which then leaves the longer side alone too
        return frame
    shape = size * width // short, size * height // short
    image = Image.fromarray(np.ascontiguousarray(frame))
    # Rows first, as Pillow did until version 12: from 13 on it begins with the columns of a frame
    # whose height shrinks more, and rounds otherwise.
    for stage in ((shape[0], height), shape):
        image = image.resize(stage, Image.Resampling.BICUBIC)
    return np.asarray(image)


def _centre(frame: Frame, size: int) -> Frame:
    # Python's round() takes an exact half to the even number, as the original does.
    top, left = (round((length - size) / 2) for length in frame.shape[:2])
    return frame[top : top + size, left : left + size]


def _check(frame: Frame, camera: CameraSpecification) -> None:
    if not isinstance(frame, np.ndarray):
        raise ObservationError(
            f"a {camera.role} frame of type {type(frame).__name__}",
            "a NumPy array",
            "convert the frame with np.asarray",
        )
    if frame.dtype != np.uint8:
        raise ObservationError(
            f"a {camera.role} frame of {frame.dtype}",
            "uint8, 0 to 255, in the order red, green, blue",
            "pass the camera's raw frame; scaling is done here",
        )
    expected = (camera.height, camera.width, 3)
    if frame.shape != expected:
        raise ObservationError(
            f"a {camera.role} frame of shape {frame.shape}",
            f"(height, width, 3) = {expected}, as in the training data",
            "crop and resize the frame to that size, or set this camera's height and width in"
            " the data-set file and export again",
        )
