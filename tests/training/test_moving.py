"""What moves is found where it moves."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from dreamvla_edge.train.moving import moving


def picture(shift: int, size: int = 96) -> np.ndarray:
    """A rough table with a rough block on it, moved to the right by so many pixels."""
    random = np.random.default_rng(0)
    table = Image.fromarray(random.integers(60, 120, (size, size, 3)).astype(np.uint8))
    block = Image.fromarray(random.integers(120, 255, (24, 24, 3)).astype(np.uint8))
    blurred = table.filter(ImageFilter.GaussianBlur(1.5))
    blurred.paste(block.filter(ImageFilter.GaussianBlur(1.5)), (32 + shift, 32))
    return np.asarray(blurred)


def test_nothing_moves_in_the_same_picture() -> None:
    """Not even with neighbours."""
    assert not moving(picture(0), picture(0), 16, dilate=True).any()


def test_a_block_moves_and_the_corners_do_not() -> None:
    """Patches of 16: the block covers the columns and rows from 2 on."""
    moves = moving(picture(0), picture(4), 16, dilate=False).reshape(6, 6)
    assert moves[2:3, 2:3].all()
    assert not moves[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    assert not moves[0].any() and not moves[:, 0].any()


def test_neighbours_count_if_asked_for() -> None:
    """A border of one patch, as a 3x3 dilation has it."""
    plain = moving(picture(0), picture(4), 16, dilate=False).reshape(6, 6)
    wide = moving(picture(0), picture(4), 16, dilate=True).reshape(6, 6)
    expected = np.zeros_like(plain)
    for row, column in np.argwhere(plain):
        expected[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2] = True
    assert (wide == expected).all()


def test_less_than_a_pixel_of_224_is_no_motion() -> None:
    """A shift of the whole picture by 2 of 448 pixels lies at the edge; 1 is below, 4 above."""
    whole = np.asarray(
        Image.fromarray(
            np.random.default_rng(1).integers(0, 255, (480, 480, 3)).astype(np.uint8)
        ).filter(ImageFilter.GaussianBlur(3))
    )
    still = moving(whole[:448, 10:458], whole[:448, 9:457], 16, dilate=False)
    moved = moving(whole[:448, 10:458], whole[:448, 6:454], 16, dilate=False)
    assert still.mean() < 0.1 and moved.mean() > 0.9
