"""Who imports whom: the table of CONTRIBUTING.md, checked on the text of every module."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from project.sources import module_files, package_folders

MAY_IMPORT: dict[str, set[str]] = {
    "model": set(),
    "kernels": set(),
    "runtime": set(),  # and kernels, inside its TensorRT back end
    "export": {"calibrate", "model", "runtime", "kernels"},
    "calibrate": {"runtime"},
    "deploy": {"runtime", "kernels"},
    "demo": set(),
    "sim": {"runtime"},
    "train": {"model", "export", "runtime", "sim"},
}
BACK_ENDS = "dreamvla_edge.runtime.backends."
TENSORRT_BACK_END = f"{BACK_ENDS}tensorrt"
NEVER_IN_RUNTIME = {"torch", "onnx", "onnxscript"}
MODULES = module_files()
AT_TOP_OF_RUNTIME = sys.stdlib_module_names | {"numpy", "msgspec", "dreamvla_edge"}


class Import(NamedTuple):
    """One imported module and whether importing its importer loads it."""

    target: str
    at_top: bool
    line: int


def imports(tree: ast.AST, module: str, is_package: bool, at_top: bool = True) -> Iterator[Import]:
    """Every import below `tree`, with relative names resolved against `module`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, at_top, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")[: None if is_package else -1]
                parents = parents[: len(parents) - node.level + 1]
                base = ".".join((*parents, base)).rstrip(".")
            yield from (Import(f"{base}.{a.name}", at_top, node.lineno) for a in node.names)
        elif isinstance(node, ast.Call) and node.args:
            name = ast.unparse(node.func).split(".")[-1]
            target = node.args[0]
            if name in ("import_module", "__import__") and isinstance(target, ast.Constant):
                yield Import(str(target.value), at_top, node.lineno)
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        checking = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        below = at_top and not inside and not checking
        yield from imports(node, module, is_package, below)


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    """Every import of `module` that the table forbids."""
    folder = module.split(".")[1]
    found = []
    for target, at_top, line in imports(ast.parse(source), module, is_package):
        top, _, rest = target.partition(".")
        if top == "dreamvla_edge" and folder != "cli":
            other = rest.split(".")[0]
            allowed = other == folder or other in MAY_IMPORT[folder]
            allowed |= module.startswith(TENSORRT_BACK_END) and other == "kernels"
            if not allowed:
                found.append(f"{module}:{line}: {folder} may not import {target}")
        if folder == "runtime" and top in NEVER_IN_RUNTIME:
            found.append(f"{module}:{line}: runtime may not import {target}")
        elif module.startswith(BACK_ENDS):
            continue  # a back end is imported when it is asked for, so its library may stand on top
        elif folder == "runtime" and at_top and top not in AT_TOP_OF_RUNTIME:
            found.append(f"{module}:{line}: import {target} inside the function that needs it")
    return found


@pytest.mark.parametrize("module", MODULES)
def test_imports_follow_the_table(module: str) -> None:
    """One case for each module, so that a failure names it."""
    path = MODULES[module]
    assert violations(path.read_text(), module, path.name == "__init__.py") == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("model.vision", "import dreamvla_edge.runtime"),
        ("model.vision", "from dreamvla_edge import runtime"),
        ("model.vision", "from ..export import bundle"),
        ("model.vision", "def f():\n    from dreamvla_edge.export.bundle import write"),
        ("kernels.build", "from dreamvla_edge.runtime import errors"),
        ("sim.scene", "from dreamvla_edge.kernels import build"),
        ("sim.scene", "import importlib\nimportlib.import_module('dreamvla_edge.model')"),
        ("export.bundle", "from dreamvla_edge.cli import main"),
        ("runtime.policy", "from dreamvla_edge.model.config import Configuration"),
        ("runtime.policy", "from dreamvla_edge.kernels import build"),
        ("runtime.backends.onnxruntime", "from dreamvla_edge.kernels import build"),
        ("runtime.policy", "def f():\n    import torch.nn"),
        ("runtime.policy", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
        ("runtime.policy", "def f():\n    from onnx import numpy_helper"),
        ("runtime.policy", "import onnxruntime"),
        ("runtime.policy", "class A:\n    import serial"),
        ("runtime.policy", "try:\n    import serial\nexcept ImportError:\n    pass"),
    ],
)
def test_a_forbidden_import_is_found(module: str, source: str) -> None:
    """The checker can fail: each source breaks one rule."""
    assert len(violations(source, f"dreamvla_edge.{module}")) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("model.vision", "import torch\nfrom .attention import Block"),
        ("export.bundle", "from dreamvla_edge.model import vision\nimport onnx"),
        ("runtime.policy", "import numpy as np\nimport msgspec\nfrom .bundle import Bundle"),
        ("runtime.policy", "def f():\n    import onnxruntime"),
        ("runtime.backends.tensorrt", "from dreamvla_edge.kernels import build"),
        ("runtime.backends.tensorrt_plugin", "from dreamvla_edge.kernels import build"),
        ("cli.run", "def f():\n    from dreamvla_edge.export import bundle"),
    ],
)
def test_an_allowed_import_is_not(module: str, source: str) -> None:
    """The checker does not cry wolf."""
    assert violations(source, f"dreamvla_edge.{module}") == []


def test_a_package_resolves_its_relative_imports() -> None:
    """In an `__init__.py` one dot is the package itself."""
    sibling = "from . import errors"
    assert violations(sibling, "dreamvla_edge.runtime", is_package=True) == []
    assert len(violations("from .. import model", "dreamvla_edge.runtime", is_package=True)) == 1


def test_the_table_knows_every_folder() -> None:
    """A folder without a row would be a KeyError in one test and silence in none."""
    assert set(package_folders()) <= {*MAY_IMPORT, "cli"}


@pytest.mark.parametrize("folder", ["runtime", "kernels", "sim", "cli"])
def test_importing_loads_neither_torch_nor_onnx(folder: str, tmp_path: Path) -> None:
    """All modules of the folder in one fresh process, since in this one torch may be loaded."""
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
        f"print(sorted({NEVER_IN_RUNTIME} & set(sys.modules)))"
    )
    names = [name for name in module_files(folder) if not name.endswith("__main__")]
    done = subprocess.run(
        [sys.executable, "-c", code, *names], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr
