"""A release as flash lays it out, as far as what starts its service looks at it."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from commands import PROGRAM
from dreamvla_edge.demo import BUNDLE
from dreamvla_edge.deploy.device import FOLDER

PYTHON = "{}.{}".format(*sys.version_info)


def lay_out(place: Path) -> Path:
    """Makes it; its tool is this checkout's, its environment looks made for the Python of now."""
    shutil.copytree(FOLDER, place / "device", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(BUNDLE, place / "bundle", copy_function=os.link)
    (place / "release.json").write_text(json.dumps({"tool": "1.2"}))
    (place / "environment").write_text("DREAMVLA_BACKEND=onnxruntime\n")
    (place / f"venv/lib/python{PYTHON}/site-packages/dreamvla_edge").mkdir(parents=True)
    (place / "venv/bin").mkdir()
    (place / "venv/bin/python").symlink_to(sys.executable)
    tool = place / "venv/bin/dreamvla"
    tool.write_text(f'#!/bin/sh\nexec {PROGRAM[0]} "$@"\n')
    tool.chmod(0o755)
    return place


def update_python(release: Path) -> None:
    """As an update of the system does: the packages are for an older Python than there is."""
    lib = release / "venv" / "lib"
    (lib / f"python{PYTHON}").rename(lib / "python3.8")
