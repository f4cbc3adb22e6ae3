"""The wheel holds the packages and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from project.sources import ROOT, module_files, package_folders


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built from a copy: the checkout's build/ may hold modules that were renamed since."""
    source, output = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("output")
    for file in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, source)
    for folder in (*package_folders(), "tests", "tools"):
        ignore = shutil.ignore_patterns("__pycache__", "golden")
        shutil.copytree(ROOT / folder, source / folder, ignore=ignore)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(output), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = output.iterdir()
    return zipfile.ZipFile(path)


def test_one_wheel_serves_every_python_and_machine(wheel: zipfile.ZipFile) -> None:
    """JetPack 6 and 7 have different Pythons; a compiled extension would need a wheel for each."""
    assert Path(str(wheel.filename)).name.endswith("-py3-none-any.whl")


def test_the_wheel_holds_every_module_and_no_other(wheel: zipfile.ZipFile) -> None:
    """A subfolder without `__init__.py` works in the checkout and is missing here."""
    modules = {f"dreamvla_edge/{path.relative_to(ROOT)}" for path in module_files().values()}
    assert {name for name in wheel.namelist() if name.endswith(".py")} == modules


def test_the_wheel_is_typed_and_licensed(wheel: zipfile.ZipFile) -> None:
    """Without py.typed a type checker ignores the folder's annotations."""
    names = wheel.namelist()
    typed = {name for name in names if name.endswith("py.typed")}
    assert typed == {f"dreamvla_edge/{folder}/py.typed" for folder in package_folders()}
    assert [name for name in names if name.endswith("licenses/LICENSE")] != []
    roots = {name.split("/")[0] for name in names}
    assert len(roots) == 2 and "dreamvla_edge" in roots  # and its .dist-info
