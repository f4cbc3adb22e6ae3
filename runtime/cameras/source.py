"""Where a robot's frames come from: one table of `robot.toml`."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Literal

from dreamvla_edge.runtime.errors import ObservationError
from dreamvla_edge.runtime.specification import Contract

Option = str | int | float | bool


class CameraSource(Contract, frozen=True):
    """One camera of one robot.

    kind: a name of `CAMERAS`, or "module:Class".
    device: what the kind opens: a path of /dev/v4l/by-path, a pipeline, a file or folder.
    width, height: size of the raw frame [pixel]; 0, as both are by default, stands for the size
        that the network's specification names, in which case nothing is ever resized.
    fps: frames per second.
    crop: (top, left, height, width) [pixel] of the raw frame that is kept. Without one, a frame
        of another aspect ratio than the specification's loses its edges, equally on both sides.
    rotate: degrees by which the cropped frame is turned clockwise.
    may_be_dark: dark pictures are no fault, as of a camera that looks at something dark.
    options: what only this kind knows; see its class.
    """

    kind: str
    device: str = ""
    width: int = 0
    height: int = 0
    fps: float = 30.0
    crop: tuple[int, int, int, int] | None = None
    rotate: Literal[0, 90, 180, 270] = 0
    may_be_dark: bool = False
    options: Mapping[str, Option] = {}

    def __post_init__(self) -> None:
        _require(self.kind != "", "a camera needs a kind")
        _require(math.isfinite(self.fps) and self.fps > 0, "fps must be finite and above zero")
        _require(
            (self.width > 0 and self.height > 0) or (self.width == 0 and self.height == 0),
            "width and height must both be above zero, or both be left out",
        )
        if self.crop is not None:
            top, left, height, width = self.crop
            _require(
                top >= 0 and left >= 0 and height > 0 and width > 0,
                "crop is (top, left, height, width), height and width above zero, none negative",
            )


def check_options(source: CameraSource, known: Collection[str]) -> None:
    """Raises ObservationError if the source has an option that its kind does not know."""
    unknown = sorted(set(source.options) - set(known))
    if unknown:
        raise ObservationError(
            f"the option {', '.join(unknown)} of a camera of kind {source.kind}",
            f"one of {', '.join(known)}" if known else "none: this kind has no options",
            "remove it from this camera in the robot file",
        )


def _require(true: bool, message: str) -> None:
    if not true:
        raise ValueError(message)
