"""A process that sees a V4L2 camera where there is none: see v4l2_device.c."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SOURCE = Path(__file__).with_name("v4l2_device.c")
TESTS = SOURCE.parents[1]
HEADER = Path("/usr/include/linux/videodev2.h")
AVAILABLE = sys.platform == "linux" and HEADER.exists() and shutil.which("cc") is not None


class PreloadedDevice:
    """folder/video0, answered by the library; folder/scene.jpg is what its sensor sees."""

    def __init__(self, folder: Path) -> None:
        """Compiles the library. folder: an empty one."""
        self.node, self.scene = folder / "video0", folder / "scene.jpg"
        self._library = folder / "v4l2_device.so"
        options = ["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-o", str(self._library)]
        subprocess.run(["cc", *options, str(SOURCE), "-ldl"], check=True)
        self.node.touch()

    def show(self, image: NDArray[np.uint8]) -> None:
        """Puts a picture before the lens."""
        Image.fromarray(image).save(self.scene, quality=95, subsampling=0)

    def run(self, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Python code that finds `node` and `scene` (paths) in a process with the library."""
        paths = ", ".join(f"Path({str(path)!r})" for path in (self.node, self.scene))
        begin = f"from pathlib import Path\nnode, scene = {paths}\n"
        variables = {
            **os.environ,
            "LD_PRELOAD": str(self._library),
            "V4L2_DEVICE": str(self.node),
            "V4L2_SCENE": str(self.scene),
            "PYTHONPATH": str(TESTS),
            **environment,
        }
        return subprocess.run(
            [sys.executable, "-c", begin + code],
            env=variables,
            capture_output=True,
            text=True,
            timeout=600,
        )
