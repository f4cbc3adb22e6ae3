"""Draws what the cameras see beside what a bundle was exported with."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from dreamvla_edge.runtime.bundle import Bundle
    from dreamvla_edge.runtime.specification import CameraSpecification

GAP, TITLE = 12, 22
GROUND, INK = (255, 255, 255), (40, 40, 40)


def picture_png(bundle: Bundle, frames: Mapping[str, NDArray[np.uint8]]) -> bytes:
    """A PNG with a row for each camera: live and example frame as the network sees them.

    frames: RGB (height, width, 3) by role; a camera that is missing stays empty. The example pair
    is the last of the episode in `golden.npz`; unless the bundle was exported with a recording of
    its own, that is coloured blocks.
    """
    from PIL import Image, ImageDraw

    from dreamvla_edge.runtime.bundle import GOLDEN_NAME

    cameras, side = bundle.manifest.specification.cameras, bundle.manifest.preprocessing.size
    picture = Image.new(
        "RGB", (3 * GAP + 2 * side, GAP + len(cameras) * (TITLE + side + GAP)), GROUND
    )
    pen = ImageDraw.Draw(picture)
    with np.load(bundle.file(GOLDEN_NAME), allow_pickle=False) as golden:
        examples = {camera.role: golden[f"frames_{camera.role}"][-1] for camera in cameras}
    for row, camera in enumerate(cameras):
        top = GAP + row * (TITLE + side + GAP)
        pair = (("live", frames.get(camera.role)), ("example", examples[camera.role]))
        for column, (title, frame) in enumerate(pair):
            left = GAP + column * (side + GAP)
            pen.text((left, top), f"{camera.role}, {title}", INK)
            if frame is not None:
                seen = Image.fromarray(_seen(bundle, camera, frame))
                picture.paste(seen, (left, top + TITLE))
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


def _seen(
    bundle: Bundle, camera: CameraSpecification, frame: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """The network's image (size, size, 3) of a raw frame, in colours for people."""
    from dreamvla_edge.runtime.preprocess import preprocess

    preprocessing = bundle.manifest.preprocessing
    image = preprocess(frame, camera, preprocessing).transpose(1, 2, 0)
    colours = (image * np.array(preprocessing.std) + np.array(preprocessing.mean)) * 255
    seen: NDArray[np.uint8] = np.rint(colours).clip(0, 255).astype(np.uint8)
    return seen
