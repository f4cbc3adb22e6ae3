"""Every module imports, has what its `__all__` promises and runs its own examples."""

from __future__ import annotations

import doctest
import importlib
from types import ModuleType

import pytest

from project.sources import module_files


def missing_names(module: ModuleType) -> list[str]:
    """Names in `__all__` that the module lacks, so that `import *` would fail."""
    return [name for name in getattr(module, "__all__", ()) if not hasattr(module, name)]


@pytest.mark.parametrize("name", [n for n in module_files() if not n.endswith("__main__")])
def test_module(name: str) -> None:
    """`pytest --doctest-modules` cannot: it takes the root's folders for packages."""
    module = importlib.import_module(name)
    assert missing_names(module) == []
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed == 0


def test_a_missing_name_is_found() -> None:
    """The check can fail."""
    module = ModuleType("planted")
    module.__dict__.update(__all__=["present", "absent"], present=1)
    assert missing_names(module) == ["absent"]
