"""The wheels that a Jetson installs are listed completely."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dreamvla_edge.deploy import package_checks
from project.sources import ROOT

PYTHONS = ("3.10", "3.12")


@pytest.fixture(scope="module")
def tool() -> Iterator[ModuleType]:
    """tools/wheelhouse.py as a module."""
    spec = importlib.util.spec_from_file_location("wheelhouse", ROOT / "tools/wheelhouse.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["wheelhouse"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["wheelhouse"]


def installed(tool: ModuleType, python: str) -> dict[str, list[Requirement]]:
    """What listed packages ask for, of those that are installed here in the same version."""
    found = {}
    for name, pin in tool.pins(python).items():
        try:
            package = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if package.version == pin.version:
            found[name] = [Requirement(line) for line in package.requires or ()]
    return found


@pytest.mark.parametrize("python", PYTHONS)
def test_the_list_is_complete(tool: ModuleType, python: str) -> None:
    """Against pyproject.toml, constraints.txt and the metadata of what is installed here."""
    known = installed(tool, python)
    assert {"click", "tokenizers", "huggingface-hub"} <= set(known)
    assert tool.gaps(python, known) == []


@pytest.mark.parametrize("python", PYTHONS)
def test_every_gap_is_seen(
    tool: ModuleType, python: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One line less, one too many, one of another version."""
    head, _, tail = tool.requirements_file(python).read_text().partition("\n\n")
    lines = tail.splitlines()
    known = installed(tool, python)
    planted = tmp_path / "requirements.txt"
    monkeypatch.setattr(tool, "requirements_file", lambda python: planted)

    def gaps(*now: str) -> str:
        planted.write_text("\n".join([head, *now]))
        return "; ".join(tool.gaps(python, known))

    assert len(lines) > 20 and gaps(*lines) == ""
    for line in lines:
        found = gaps(*(other for other in lines if other != line))
        name, _, by = line.partition("==")
        roots = "  # for " not in by
        assert f"had {len(lines)} when" in found
        if roots or set(by.partition("  # for ")[2].split(", ")) & set(known):
            assert f"wants {name}" in found.replace("_", "-")  # as packages spell it
    assert "nothing wants six" in gaps(*lines, "six==1.17.0 --hash=sha256:00")
    old = [line.replace("numpy==2.", "numpy==1.") for line in lines]
    assert "wants numpy>=2.2, not 1." in gaps(*old)


def test_conditions_are_those_of_the_device(tool: ModuleType) -> None:
    """Not of the Python that runs this, nor of its processor."""
    old, new = (tool.pins(python) for python in PYTHONS)
    assert "exceptiongroup" in old and "exceptiongroup" not in new
    assert old["cuda-bindings"].version.startswith("12.")
    assert new["cuda-bindings"].version.startswith("13.")
    assert not tool.wanted(Requirement("x; platform_machine == 'x86_64'"), "3.10")
    assert tool.wanted(Requirement("x; extra == 'a'"), "3.10", frozenset({"a"}))
    assert not tool.wanted(Requirement("x; extra == 'a'"), "3.10")


def test_the_doctor_knows_the_extras_of_the_project() -> None:
    """Its table is that of pyproject.toml."""
    import msgspec

    project: dict[str, Any] = msgspec.toml.decode((ROOT / "pyproject.toml").read_text())["project"]

    def names(lines: list[str]) -> set[str]:
        found = {canonicalize_name(Requirement(line).name) for line in lines}
        return found - {"dreamvla-edge"}

    assert names(project["dependencies"]) - {"tomli"} == set(package_checks.BASE)
    for extra, (packages, _) in package_checks.EXTRAS.items():
        lines = list(project["optional-dependencies"][extra])
        if any("dreamvla-edge[record]" in line for line in lines):
            lines += project["optional-dependencies"]["record"]
        assert names(lines) == set(packages), extra


@pytest.mark.slow  # downloads a hundred megabytes each
@pytest.mark.parametrize("python", PYTHONS)
def test_the_wheels_can_be_had(
    tool: ModuleType, python: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """All binary, for aarch64, of the hash that is listed, and complete by their own metadata."""
    monkeypatch.setattr(tool, "HOUSE", tmp_path)
    house = tool.download(python)
    wheels = sorted(house.glob("*.whl"))
    hashes = {hashlib.sha256(wheel.read_bytes()).hexdigest() for wheel in wheels}
    assert hashes == {pin.sha256 for pin in tool.pins(python).values()}
    assert all("aarch64" in wheel.name or "-none-any" in wheel.name for wheel in wheels)
    assert (house / "requirements.txt").read_text() == tool.requirements_file(python).read_text()
    assert {path.name for path in house.iterdir()} == {w.name for w in wheels} | {
        "requirements.txt"
    }
