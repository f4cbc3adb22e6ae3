"""Starts the programs that report what a device does with a libcuda (launcher_cases.py)."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path


def ran(command: Sequence[str | Path], libcuda: Path) -> dict[str, str | None]:
    """What is wrong, by case; nothing where all is right. libcuda: the library's folder.

    Raises AssertionError if the program fails, or says a word on stderr.
    """
    places = {"LD_LIBRARY_PATH": str(libcuda), "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | places)
    assert done.returncode == 0 and not done.stderr, done.stderr[-4000:]
    return {found["case"]: found["wrong"] for found in map(json.loads, done.stdout.splitlines())}
