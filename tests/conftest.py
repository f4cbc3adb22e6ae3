"""Fixtures shared by all tests."""

from __future__ import annotations

import pytest

from golden_cases import SMALL, Golden


@pytest.fixture(scope="session")
def golden() -> Golden:
    """Golden data of the released code: see tests/golden_cases.py."""
    return Golden()


@pytest.fixture(params=SMALL)
def small_case(request: pytest.FixtureRequest) -> str:
    """The name of each small golden case in turn."""
    name: str = request.param
    return name
