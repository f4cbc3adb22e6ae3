"""Fixtures shared by all tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from golden_cases import SMALL, Golden
from once import SHARED

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


_REAL_TIME = (
    *("guardian", "guardian_parts", "recording", "sim_bus"),
    *("arms", "calibrate/test_accept_robot.py", "cameras"),
    *("cli/test_demo.py", "cli/test_run.py", "robot", "service"),
)
"""Tests whose processes must not be late for each other: they are one process's alone."""

_LONG = (
    "kernels/test_cases.py",
    "runtime/test_bundle.py",
    "evaluation/test_eval.py",
    "guardian/test_lock_step.py",
    "arms/test_fuzz.py",
    "guardian_parts/test_limits.py",
    "cli/test_export.py",
    "benchmarks/test_cpu_step.py",
    "calibrate/test_quantize.py",
    "cli/test_interrupt.py",
)
"""Files that only compute, and take long for their few tests: the next ones to begin, lest one of
them is left alone at the end."""

_PATIENT = 10
"""Niceness of processes whose tests only compute."""


def pytest_configure(config: pytest.Config) -> None:
    """Makes the shared folder, in the process that starts the others."""
    if not hasattr(config, "workerinput"):
        os.environ[SHARED] = tempfile.mkdtemp(prefix="dreamvla-tests-")
        os.environ["XDG_STATE_HOME"] = os.environ[SHARED]  # where runs leave their numbers


def pytest_unconfigure(config: pytest.Config) -> None:
    """Removes the shared folder: it holds gigabytes."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(SHARED))


def _file(nodeid: str) -> str:
    """Below the folder of tests."""
    return nodeid.partition("::")[0].partition("/")[2]


def _real_time(file: str) -> bool:
    if file in _LONG:
        return False
    return any(file == part or file.startswith(f"{part}/") for part in _REAL_TIME)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes longest begins first, where processes share the tests."""
    if not hasattr(config, "workerinput"):
        return
    tests = Counter(_file(item.nodeid) for item in items)

    def turn(item: pytest.Item) -> tuple[int, int]:
        file = _file(item.nodeid)
        if _real_time(file):
            return 0, 0
        return (1, _LONG.index(file)) if file in _LONG else (2, -tests[file])

    items.sort(key=turn)


@pytest.hookimpl(optionalhook=True)  # the base install goes without xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Processes share the tests by file, in the order above; those of real time stay together."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = _file(nodeid)
            return "real time" if _real_time(file) else file

    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A process that only computes lets those go first that are waited for, from now on.

    So there may be one process more than cores: those of real time mostly wait.
    """
    if hasattr(item.config, "workerinput") and not _real_time(_file(item.nodeid)):
        os.setpriority(os.PRIO_PROCESS, 0, max(os.getpriority(os.PRIO_PROCESS, 0), _PATIENT))


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

    return Bundles(Path(os.environ[SHARED]), golden)


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
