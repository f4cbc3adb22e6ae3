"""A camera frame as bytes: its stamp (float64, little-endian) and a JPEG or a PNG."""

from __future__ import annotations

import io
import struct
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Role = Literal["primary", "wrist"]
ROLES: tuple[Role, Role] = ("primary", "wrist")

JPEG_QUALITY = 95
_STAMP = struct.Struct("<d")


def encode_frame(image: Image, stamp_s: float, lossless: bool) -> bytes:
    """Bytes of an RGB frame (height, width, 3).

    A PNG is packed as fast as can be, since the cameras do not wait; a JPEG keeps the colours'
    full resolution.
    """
    from PIL import Image as pillow

    packed = io.BytesIO(_STAMP.pack(stamp_s))
    packed.seek(_STAMP.size)
    picture = pillow.fromarray(image)
    if lossless:
        picture.save(packed, "PNG", compress_level=1)
    else:
        picture.save(packed, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return packed.getvalue()


def decode_frame(data: bytes) -> tuple[Image, float]:
    """The frame (height, width, 3) and its stamp [s]. Raises ValueError if there is none."""
    from PIL import Image as pillow

    try:
        with pillow.open(io.BytesIO(data[_STAMP.size :]), formats=("PNG", "JPEG")) as picture:
            return np.asarray(picture.convert("RGB")), stamp_of(data)
    except (OSError, SyntaxError) as error:  # Pillow's for damaged files
        raise ValueError(f"no frame: {error}") from error


def stamp_of(data: bytes) -> float:
    """The stamp [s] of a frame's bytes, of which the first eight do."""
    stamp_s: float = _STAMP.unpack_from(data)[0]
    return stamp_s
