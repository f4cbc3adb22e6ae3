"""Starts `launch.py` where a release has its folder; see there."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # a package, not loose modules
importlib.import_module("device.launch").main()
