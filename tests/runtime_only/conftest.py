"""Fixtures of the tests that run in the base install too (tools/python310.sh): no torch here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def bundle_folder() -> Path:
    """A bundle that an environment with torch has made."""
    folder = os.environ.get("DREAMVLA_TEST_BUNDLE")
    if folder is None:
        pytest.skip("DREAMVLA_TEST_BUNDLE names no bundle")
    return Path(folder)
