"""The base install suffices for everything but checkpoints, exporting and the scene."""

from __future__ import annotations

import importlib

import pytest

from dreamvla_edge.cli.command import EXTRAS
from project.sources import module_files

pytestmark = pytest.mark.runtime_only

FOLDERS = ("runtime", "sim", "cli")
NEEDY = {
    "sim": (
        *("scene", "tasks", "demo", "episode", "evaluation", "expert", "lock_step", "scene_judge"),
        *("scene_plant", "teach"),
    ),
    "cli": ("demo_parity", "demo_run", "dream_picture", "eval_page"),
}
"""Modules that need an extra; the command that loads them names it where it is missing."""


@pytest.mark.parametrize("name", [n for n in module_files(*FOLDERS) if not n.endswith("__main__")])
def test_module_imports(name: str) -> None:
    """Under Python 3.10 this also finds newer syntax and newer library calls at module level."""
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        assert error.name in EXTRAS
        _, folder, module, *_ = name.split(".")
        assert module in NEEDY.get(folder, ())
