"""Draws the pictures of the README and the docs anew: what commands of today show.

    python tools/docs_images.py [scene] [demo] [profile]

scene: tasks of the scene; demo: what `dreamvla demo` leaves; profile: the page of `dreamvla profile
demo`, photographed by headless Chromium at a desk's and a telephone's width. Without a name all.
`overview.svg` is drawn by hand.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import scene_picture
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
DREAMVLA = Path(sys.executable).with_name("dreamvla")
WIDTHS = {"profile.png": (1280, 1130), "profile-phone.png": (390, 1700)}
"""Picture → what the window shows of the page [pixel]."""
_LEAST = 500  # no window of Chromium is narrower [pixel]


def scene() -> None:
    """docs/images/scene.png."""
    scene_picture.main()


def demo() -> None:
    """docs/images/demo.png."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([DREAMVLA, "demo", "-o", folder, "--force"], check=True)
        shutil.copy(Path(folder) / "demo.png", IMAGES / "demo.png")


def profile() -> None:
    """docs/images/profile.png and profile-phone.png."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        subprocess.run([DREAMVLA, "profile", "demo", "-o", folder, "--force"], check=True)
        for name, (width, height) in WIDTHS.items():
            frame = folder / f"{width}.html"
            frame.write_text(
                '<!doctype html><body style="margin:0"><iframe src="index.html"'
                f' style="width:{width}px;height:{height}px;border:0"></iframe>'
            )
            photographed(frame, max(width, _LEAST), height, folder)
            picture = Image.open(folder / "shown.png").convert("RGB").crop((0, 0, width, height))
            picture.save(IMAGES / name, optimize=True)


def photographed(page: Path, width: int, height: int, folder: Path) -> None:
    """`folder`/shown.png: the page in a window of this size [pixel]."""
    subprocess.run(
        [
            *("chromium", "--headless", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--no-sandbox", "--disable-background-networking", "--disable-component-update"),
            *("--disable-sync", "--hide-scrollbars", f"--window-size={width},{height}"),
            *(f"--user-data-dir={folder / 'chrome'}", f"--screenshot={folder / 'shown.png'}"),
            page.as_uri(),
        ],
        check=True,
        capture_output=True,
        timeout=120,
        env={**os.environ, "HOME": str(folder)},
    )


PICTURES: dict[str, Callable[[], None]] = {"scene": scene, "demo": demo, "profile": profile}


def main(names: list[str]) -> None:
    """Those that are named."""
    for name in names or list(PICTURES):
        PICTURES[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
