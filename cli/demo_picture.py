"""What `dreamvla demo` shows at its end: each task before and after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .demo_run import Told

_MARGIN, _TEXT = 8, 22


def draw_picture(told: Sequence[Told], path: Path) -> Path:
    """Writes a PNG: a column for each task, what it was told above, how it ended below."""
    from PIL import Image, ImageDraw

    size = told[0].before.shape[0]
    width, height = size + _MARGIN, 2 * size + 2 * _TEXT + 2 * _MARGIN
    sheet = Image.new("RGB", (width * len(told) + _MARGIN, height), (250, 250, 248))
    pen = ImageDraw.Draw(sheet)
    for i, task in enumerate(told):
        left = _MARGIN + i * width
        pen.text((left, 5), task.instruction, (30, 30, 30))
        for row, image in enumerate((task.before, task.after)):
            sheet.paste(Image.fromarray(np.ascontiguousarray(image)), (left, _TEXT + row * size))
        end = f"done after {task.time_s:.1f} s" if task.done else "not done"
        colour = (20, 120, 50) if task.done else (170, 40, 30)
        pen.text((left, _TEXT + 2 * size + 5), end, colour)
    sheet.save(path)
    return path
