"""What systemd starts: it becomes the release's service, or waits in its place and says why."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from desk import Desk
from dreamvla_edge.cli.service import Service
from service.release import PYTHON, lay_out, update_python
from service.test_service import START, served

BACKEND = ("--backend", "onnxruntime")


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """See `lay_out`."""
    return lay_out(tmp_path / "releases" / "1.2-abc")


def start(release: Path) -> tuple[object, ...]:
    """As the unit has it."""
    return sys.executable, "-I", "-B", release / "device"


def test_it_becomes_the_service(desk: Desk, tmp_path: Path, release: Path) -> None:
    """In the same process, since systemd listens to no other."""
    bundle = release / "bundle"
    with served(tmp_path, desk.robot, bundle, *BACKEND, start=start(release)) as service:
        assert service.told("READY=1")[1] == "STATUS=stop: waiting"
        command = Path(f"/proc/{service.program.pid}/cmdline").read_text().split("\0")
        assert command[2:4] == ["serve", str(bundle)]
        status = service.ask(order="status")
        assert (status["state"], status["error"]) == ("stop", None)
        assert service.end() == 0


def changed(release: Path) -> str:
    """The interpreter is another one than that which the packages are for."""
    update_python(release)
    return f"was installed for Python 3.8, and {release}/venv/bin/python is Python {PYTHON} now"


def gone(release: Path) -> str:
    """Its link leads nowhere."""
    python = release / "venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/usr/bin/python3.0")
    return f"was installed for Python {PYTHON}, and {python} cannot be run"


def crashes(release: Path) -> str:
    """As one that misses a library."""
    python = release / "venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/bin/false")
    return "cannot be run"


def lost(release: Path) -> str:
    """All of the environment is."""
    shutil.rmtree(release / "venv")
    return "has lost its environment"


@pytest.mark.parametrize("damage", [changed, gone, crashes, lost])
def test_a_python_that_is_another_one(
    desk: Desk, tmp_path: Path, release: Path, damage: object
) -> None:
    """Up, in stop, with the cure; it stays up, and ends as a service does."""
    assert callable(damage)
    found, bundle = damage(release), release / "bundle"
    with served(tmp_path, desk.robot, bundle, *BACKEND, start=start(release)) as service:
        line = service.told("READY=1")[1]
        assert line.startswith("STATUS=stop: ") and found in line
        assert "what to do: flash the bundle again" in line
        for _ in range(2):
            service.told("WATCHDOG=1")
        status = service.ask(order="status")
        assert set(status) == set(Service(bundle, desk.robot, "").answer({"order": "status"}))
        error = status["error"]
        assert found in error["found"] and error["cure"].startswith("flash the bundle again")
        assert (status["state"], status["version"], status["has_robot"]) == ("stop", "1.2", True)
        assert Path(status["bundle"]) == bundle and status["backend"] == "onnxruntime"
        assert service.ask(**START) == {"error": error}
        assert service.ask(order="stop") == status
        assert "dance" in service.ask(order="dance")["error"]["found"]
        assert service.end() == 0
    assert not service.control.exists()
    assert "rx" not in desk.log.read_text()
