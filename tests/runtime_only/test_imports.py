"""The base install suffices for everything but checkpoints, exporting and the scene."""

from __future__ import annotations

import importlib

import pytest

from project.sources import module_files

pytestmark = pytest.mark.runtime_only

FOLDERS = ("runtime", "sim", "cli")
SCENE = ("scene", "tasks", "demo", "episode", "expert", "lock_step", "teach")
"""Of `sim`: what needs the extra `sim`, and says so where it is missing."""


@pytest.mark.parametrize("name", [n for n in module_files(*FOLDERS) if not n.endswith("__main__")])
def test_module_imports(name: str) -> None:
    """Under Python 3.10 this also finds newer syntax and newer library calls at module level."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        assert error.name == "mujoco" and "pip install 'dreamvla-edge[sim]'" in str(error)
        assert name.split(".")[1:2] == ["sim"] and name.split(".")[2] in SCENE
