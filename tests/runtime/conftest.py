"""Copies of a bundle for tests that damage one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from bundles import copy_of, mend, rewrite
from dreamvla_edge.runtime.bundle import Bundle, open_bundle
from dreamvla_edge.runtime.errors import BundleError


@pytest.fixture
def copied(bundle: Callable[[str], Bundle], tmp_path: Path) -> Path:
    """A copy of `calvin_small` to be changed with the functions of tests/bundles.py."""
    return copy_of(bundle("calvin_small"), tmp_path / "copied")


@pytest.fixture(scope="session")
def light(bundle: Callable[[str], Bundle], tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle as valid as any other whose weights are cut off: opened at once, not to be run."""
    folder = copy_of(bundle("calvin_small"), tmp_path_factory.mktemp("light") / "bundle")
    for file in folder.glob("*.onnx.data"):
        with file.open("rb") as weights:
            start = weights.read(1000)
        rewrite(file, start)
        mend(folder, file.name)
    return open_bundle(folder)


@pytest.fixture
def damaged(light: Bundle, tmp_path: Path) -> Path:
    """A copy of `light` to be damaged."""
    return copy_of(light, tmp_path / "damaged")


@pytest.fixture
def refused(light: Bundle, damaged: Path) -> Callable[[], BundleError]:
    """The error of opening `damaged`, whose undamaged original still opens."""

    def check() -> BundleError:
        with pytest.raises(BundleError) as caught:
            open_bundle(damaged)
        assert open_bundle(light.path) == light
        return caught.value

    return check
