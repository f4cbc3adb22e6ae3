"""Frames as an MP4 and back, through PyAV (the extra [record])."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from .frames import Image

CODEC = "h264"
_OPTIONS = {"crf": "18", "g": "2"}
"""Visually lossless; every second frame can be jumped to, as training does."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video is: size [pixel], codec and pixel format in FFmpeg's words."""

    height: int
    width: int
    codec: str
    pixel_format: str


def write_video(path: Path, images: Iterable[Image], rate_hz: float) -> None:
    """RGB frames (height, width, 3), one every 1 / rate_hz [s]."""
    import av

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(
            "libx264", Fraction(rate_hz).limit_denominator(1000), options=_OPTIONS
        )
        for number, image in enumerate(images):
            if number == 0:
                stream.height, stream.width = image.shape[:2]
                # Halved colours need even sides.
                even = stream.height % 2 == 0 and stream.width % 2 == 0
                stream.pix_fmt = "yuv420p" if even else "yuv444p"
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def read_video(path: Path, first: int, count: int) -> list[Image]:
    """`count` RGB frames from the frame `first` on. Raises ValueError if there are fewer."""
    import av

    images = []
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if first <= number < first + count:
                images.append(frame.to_ndarray(format="rgb24"))
    if len(images) < count:
        raise ValueError(f"{path} holds {len(images)} of {count} frames")
    return images


def probe(path: Path) -> VideoInfo:
    """What the video in a file is."""
    import av

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return VideoInfo(stream.height, stream.width, CODEC, str(stream.pix_fmt))
