"""Prints which branches of codecs and resync the fuzz tests and codec tests take.

    python tools/codec_coverage.py

Exits with 1 if a test fails or a branch is not taken.
"""

from __future__ import annotations

import sys
from pathlib import Path

import coverage
import pytest

ROOT = Path(__file__).resolve().parent.parent
_CODE = ("status", "feetech", "dynamixel", "control_table")
_TESTS = ("fuzz", "status_parser", "control_table", "feetech", "dynamixel")


def main() -> int:
    """Runs the tests under coverage."""
    measure = coverage.Coverage(
        branch=True,
        data_file=None,
        include=[str(ROOT / "runtime" / "arms" / f"{name}.py") for name in _CODE],
    )
    tests = [str(ROOT / "tests" / "arms" / f"test_{name}.py") for name in _TESTS]
    with measure.collect():
        failed = pytest.main(["-q", "-m", "not slow", f"--rootdir={ROOT}", *tests])
    return int(failed != 0 or measure.report(show_missing=True) < 100)


if __name__ == "__main__":
    sys.exit(main())
