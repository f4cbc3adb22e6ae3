"""Draws a network's block mask."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dreamvla_edge.runtime.manifest import NetworkSpec

COLOURS = {
    "text": (120, 94, 240),
    "state": (254, 97, 0),
    "vision": (100, 143, 255),
    "dream": (220, 38, 127),
    "action": (255, 176, 0),
}
"""Colour-blind safe (IBM design library), by the kind that is read."""
GROUND, RULE, INK = (255, 255, 255), (205, 205, 205), (40, 40, 40)
MARGIN, LEGEND = 46, 40


def draw_mask(spec: NetworkSpec, path: Path, force: bool = False) -> None:
    """Write a PNG: a row for every reader, a column for every token read, slots ruled off.

    A token is a square of at least 2 x 2 pixels, the mask at least 800 pixels wide. force:
    replace an existing file. Raises OutputError if it cannot be written.
    """
    from dreamvla_edge.runtime.errors import OutputError

    if path.exists() and not force:
        raise OutputError(
            f"{path} exists", "a new name", "choose another name, or replace it with --force"
        )
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(mask_png(spec))
        partial.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error})",
            "a file in an existing, writable directory",
            "choose another path for --plot",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def mask_png(spec: NetworkSpec) -> bytes:
    """The picture that `draw_mask` writes."""
    from PIL import Image, ImageDraw

    from dreamvla_edge.runtime.mask import window_reads

    allowed = window_reads(spec)
    kinds = np.tile(spec.step_kinds, spec.window)
    palette = np.array([COLOURS[kind] for kind in spec.kinds], np.uint8)
    pixels = np.where(allowed[:, :, None], palette[kinds][None, :], np.uint8(255))
    zoom = max(2, -(-800 // len(kinds)))  # the rules take one pixel of a slot's first token
    side = len(kinds) * zoom
    mask = Image.fromarray(pixels.astype(np.uint8)).resize((side, side), Image.Resampling.NEAREST)
    picture = Image.new("RGB", (MARGIN + side + 8, MARGIN + side + LEGEND), GROUND)
    picture.paste(mask, (MARGIN, MARGIN))
    pen = ImageDraw.Draw(picture)
    step = len(spec.step_kinds) * zoom
    for slot in range(spec.window + 1):
        at = MARGIN + slot * step
        pen.line([(at, MARGIN), (at, MARGIN + side)], RULE)
        pen.line([(MARGIN, at), (MARGIN + side, at)], RULE)
        if slot < spec.window:
            pen.text((at + step // 2 - 4, MARGIN - 16), str(slot), INK)
            pen.text((MARGIN - 18, at + step // 2 - 6), str(slot), INK)
    pen.text((MARGIN, 8), "columns: tokens that are read, by window slot", INK)
    pen.text((4, MARGIN + side + 6), "rows: readers", INK)
    left = MARGIN + 90
    for kind in spec.kinds:
        pen.rectangle([left, MARGIN + side + 12, left + 12, MARGIN + side + 24], COLOURS[kind])
        pen.text((left + 18, MARGIN + side + 12), kind, INK)
        left += 90
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()
