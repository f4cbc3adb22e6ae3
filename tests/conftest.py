"""Fixtures shared by all tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from golden_cases import SMALL, Golden

if TYPE_CHECKING:
    from bundles import Bundles
    from desk import Desk
    from dreamvla_edge.runtime.bundle import Bundle

# Read when torch is loaded: threads that spin while they wait take ten times as long where other
# programs use the cores too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Read when mujoco is loaded, which tests of kinematics do before the scene can say it.
if "DISPLAY" not in os.environ and "WAYLAND_DISPLAY" not in os.environ:
    os.environ.setdefault("MUJOCO_GL", "egl")

# A time limit per example would be a speed assertion that a busy machine can fail.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


_SHARED = "DREAMVLA_TEST_SHARED"
"""Environment variable: a folder of this run that all of its processes share."""


_REAL_TIME = (
    "arms",
    "cameras",
    "guardian",
    "guardian_parts",
    "recording",
    "robot",
    "service",
    "sim_bus",
)
"""Folders of tests whose processes must not be late for each other."""


def pytest_configure(config: pytest.Config) -> None:
    """Makes the shared folder, in the process that starts the others."""
    if not hasattr(config, "workerinput"):
        os.environ[_SHARED] = tempfile.mkdtemp(prefix="dreamvla-tests-")
        os.environ["XDG_STATE_HOME"] = os.environ[_SHARED]  # where runs leave their numbers


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes the shared folder: it holds gigabytes."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(_SHARED))


@pytest.hookimpl(optionalhook=True)  # the base install goes without xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Two processes share the tests by file, but all that moves a virtual arm is one's alone."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "real time" if Path(file).parts[1] in _REAL_TIME else file

    return ByFile(config, log)


@pytest.fixture(scope="session")
def golden() -> Golden:
    """Golden data of the released code: see tests/golden_cases.py."""
    return Golden()


@pytest.fixture(params=SMALL)
def small_case(request: pytest.FixtureRequest) -> str:
    """The name of each small golden case in turn."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def bundles(golden: Golden) -> Bundles:
    """Bundles, checkpoints and networks of the golden cases: see tests/bundles.py."""
    from bundles import Bundles  # needs torch, which the base install has not

    return Bundles(Path(os.environ[_SHARED]), golden)


@pytest.fixture(scope="session")
def bundle(bundles: Bundles) -> Callable[[str], Bundle]:
    """The bundle of a golden case by name, exported once per session; not to be changed."""
    return bundles.bundle


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """With a folder of its own for sockets."""
    from desk import Desk

    runtime = tmp_path / "run"
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    desk = Desk(tmp_path)
    with contextlib.closing(desk.bus):
        yield desk
        for terminal in desk.terminals:
            if terminal.program.poll() is None:
                terminal.program.terminate()
                terminal.end()
        left = desk.guardian()
        if left is not None:
            os.kill(left, signal.SIGKILL)
        assert left is None, "a guardian was left behind"
