"""The base install suffices for everything but reading checkpoints and exporting."""

from __future__ import annotations

import importlib

import pytest

from project.sources import module_files

pytestmark = pytest.mark.runtime_only

FOLDERS = ("runtime", "sim", "cli")


@pytest.mark.parametrize("name", [n for n in module_files(*FOLDERS) if not n.endswith("__main__")])
def test_module_imports(name: str) -> None:
    """Under Python 3.10 this also finds newer syntax and newer library calls at module level."""
    importlib.import_module(name)
