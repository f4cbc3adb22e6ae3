"""Draws the frames of all cameras side by side."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .written import require_free, write_file

if TYPE_CHECKING:
    from dreamvla_edge.runtime.cameras.camera_thread import CameraThread

GAP = 4  # between frames [pixel]


def draw_sheet(
    path: Path, threads: Sequence[CameraThread], times_s: Sequence[float], force: bool
) -> None:
    """Writes a PNG: a column for every camera, a row for every time, from the cameras' rings.

    A frame that there was not yet stays black. Raises OutputError if it cannot be written.
    """
    from PIL import Image

    require_free(path, force)  # again: the cameras were watched meanwhile
    columns = [[thread.ring.at(time_s) for time_s in times_s] for thread in threads]
    sizes = [
        next((frame.image.shape[1::-1] for frame in column if frame is not None), (0, 0))
        for column in columns
    ]
    height = max(height for _, height in sizes) + GAP
    width = sum(width + GAP for width, _ in sizes)
    sheet = Image.new("RGB", (max(1, width), max(1, height * len(times_s))))
    left = 0
    for column, size in zip(columns, sizes, strict=True):
        for row, frame in enumerate(column):
            if frame is not None:
                sheet.paste(Image.fromarray(frame.image), (left, row * height))
        left += size[0] + GAP
    content = io.BytesIO()
    sheet.save(content, "PNG")
    write_file(path, content.getvalue())
