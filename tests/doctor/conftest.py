"""A healthy board to plant causes in."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from patient import Patient


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Patient]:
    """A healthy board of JetPack 6, or of what a test is parametrized with."""
    kind = getattr(request, "param", "jetpack6")
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # a tree is a hundred folders
    with (
        tempfile.TemporaryDirectory(dir=memory) as folder,
        contextlib.closing(Patient(Path(folder), kind, monkeypatch)) as patient,
    ):
        yield patient
