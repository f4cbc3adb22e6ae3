"""Fixtures of the tests that run in the base install too (tools/python310.sh): no torch here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dreamvla_edge.runtime.bundle import Bundle, open_bundle


@pytest.fixture(scope="session")
def made_bundle(request: pytest.FixtureRequest) -> Bundle:
    """The bundle of `calvin_small`: $DREAMVLA_TEST_BUNDLE without torch, else a new one."""
    folder = os.environ.get("DREAMVLA_TEST_BUNDLE")
    if folder is not None:
        return open_bundle(Path(folder))
    made: Bundle = request.getfixturevalue("bundle")("calvin_small")
    return made
