"""setup.py, pyproject.toml and the folders tell the same story."""

from __future__ import annotations

import itertools
import re
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from project.sources import ROOT, package_folders

NOT_PACKAGES = {"tests", "tools", "docs", "benchmarks", "build", "dist"}
MAX_LINES = 400  # 300 is the aim; above 400 a file holds more than one noun


def root_packages(root: Path) -> set[str]:
    """The folders at the root that are packages."""
    return {init.parent.name for init in root.glob("*/__init__.py")} - NOT_PACKAGES


def test_setup_names_every_package_folder() -> None:
    """A folder that setup.py forgets works in the checkout and is missing from the wheel."""
    assert set(package_folders()) == root_packages(ROOT)


def test_a_new_folder_is_noticed(tmp_path: Path) -> None:
    """The test above can fail."""
    for folder in ("fresh", "tests", "notes"):
        (tmp_path / folder).mkdir()
    (tmp_path / "fresh" / "__init__.py").touch()
    (tmp_path / "tests" / "__init__.py").touch()
    assert root_packages(tmp_path) == {"fresh"}


def test_every_package_folder_is_typed_and_banned_as_a_bare_name() -> None:
    """`import model` would load a second copy of every class; ruff bans it name by name."""
    folders = package_folders()
    assert [f for f in folders if not (ROOT / f / "py.typed").is_file()] == []
    banned = re.findall(r'^"(\w+)"\.msg = ', (ROOT / "pyproject.toml").read_text(), re.M)
    assert sorted(banned) == sorted(folders)


def test_no_source_file_is_long() -> None:
    """Golden data and its recipe are data."""
    suffixes = {".py", ".pyi", ".sh", ".cu", ".cuh", ".h", ".cpp"}
    files = [ROOT / "setup.py"]
    for folder in (*package_folders(), "tests", "tools", "benchmarks"):
        files += [path for path in (ROOT / folder).rglob("*") if path.suffix in suffixes]
    assert len(files) > len(package_folders())
    files.remove(ROOT / "deploy/probe.py")  # goes through a pipe whole, so it is one file
    lengths = {str(path.relative_to(ROOT)): path.read_text().count("\n") for path in files}
    assert {name: lines for name, lines in lengths.items() if lines > MAX_LINES} == {}


def test_every_dependency_is_pinned_for_every_python() -> None:
    """A pin that is missing, doubled or out of the range that pyproject.toml allows."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if line and not line.startswith("#")]
    wanted = [Requirement(line) for line in metadata.requires("dreamvla-edge") or ()]
    wanted = [requirement for requirement in wanted if requirement.name != "dreamvla-edge"]
    assert {"numpy", "torch", "pytest"} <= {requirement.name for requirement in wanted}
    for python, requirement in itertools.product(("3.10", "3.11", "3.12", "3.13"), wanted):
        if not any(applies(requirement, python, extra) for extra in ("", "export", "sim", "dev")):
            continue
        versions = [
            str(pin.specifier).removeprefix("==")
            for pin in pins
            if pin.name == requirement.name and applies(pin, python)
        ]
        assert len(versions) == 1, (python, requirement.name, versions)
        assert requirement.specifier.contains(versions[0]), (python, str(requirement))


def applies(requirement: Requirement, python: str, extra: str = "") -> bool:
    """Whether this Python with this extra has the requirement."""
    environment = {"python_version": python, "extra": extra}
    return requirement.marker is None or requirement.marker.evaluate(environment)
