"""The unit under a real systemd: what it starts, grants, denies, watches and gives up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from desk import CAMERAS, until
from dreamvla_edge.deploy.device.control import ask
from dreamvla_edge.deploy.device.unit import TEMPLATE, drop_in_text, unit_text
from flash.board import HERE
from service.release import lay_out, update_python
from service.test_service import START

pytestmark = pytest.mark.slow
UNIT = "dreamvla@arm.service"
ROBOT = f'name = "bench"\n[arm]\ntype = "so101"\nport = "virtual"\n{CAMERAS}'


class Machine:
    """One that systemd has started, see booted.py; the robot's service is installed and down."""

    def __init__(self, folder: Path) -> None:
        self.units = folder / "etc/systemd/system"
        self.release = lay_out(folder / "opt/dreamvla/arm/releases/1")
        (folder / "opt/dreamvla/arm/current").symlink_to("releases/1")
        (folder / "etc/dreamvla/arm").mkdir(parents=True)
        (folder / "etc/dreamvla/arm/robot.toml").write_text(ROBOT)
        (self.units / f"{UNIT}.d").mkdir(parents=True)
        (self.units / TEMPLATE).write_text(unit_text(user=False))
        (self.units / f"{UNIT}.d" / "user.conf").write_text(drop_in_text("root"))
        command = ["unshare", "--mount", sys.executable, str(HERE / "booted.py"), str(folder)]
        pipe = subprocess.PIPE
        self._program = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        assert self._program.stdout is not None
        self.systemd = int(self._program.stdout.readline())
        until(lambda: self.run("systemctl", "is-system-running").strip() == "running")

    def end(self) -> None:
        """Without warning."""
        self._program.communicate()
        assert self._program.returncode == 0

    def run(self, *words: str, inside: int = 0) -> str:
        """What a command there says; inside: of a process, as that sees the files."""
        command = ["nsenter", f"--target={inside or self.systemd}", "--all", *words]
        done = subprocess.run(command, capture_output=True, text=True)
        return done.stdout + done.stderr

    def show(self) -> dict[str, str]:
        """What systemd says of the service."""
        names = "ActiveState,StatusText,NRestarts,MainPID,Result"
        text = self.run("systemctl", "show", "-p", names, UNIT)
        return dict(line.split("=", 1) for line in text.splitlines())

    def main(self) -> int:
        """The service's main process, by its number outside."""
        inside = self.show()["MainPID"]
        for place in Path("/proc").glob("[0-9]*"):
            try:
                status = (place / "status").read_text()
                same = os.readlink(place / "ns/pid") == os.readlink(f"/proc/{self.systemd}/ns/pid")
            except OSError:
                continue
            numbers = next(n for n in status.splitlines() if n.startswith("NSpid:")).split()
            if same and numbers[-1] == inside:
                return int(place.name)
        raise AssertionError("no such process")

    def ask(self, **order: Any) -> dict[str, Any]:
        """An order to the service."""
        place = Path(f"/proc/{self.systemd}/root/run/dreamvla/arm/control.socket")
        return ask(place, order)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """With its service up."""
    made = Machine(tmp_path)
    try:
        assert made.run("systemctl", "start", UNIT) == ""
        yield made
    finally:
        made.end()


def add(machine: Machine, *lines: str) -> None:
    """Settings that make a test shorter."""
    text = "\n".join(("[Service]", *lines))
    write = f'echo "$1" >/etc/systemd/system/{UNIT}.d/test.conf'
    assert machine.run("sh", "-c", write, "sh", text) == ""
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", UNIT)


def test_it_drives_in_its_sandbox(machine: Machine) -> None:
    """It waits, drives a virtual arm, stops and ends; it has no rights that it does not need."""
    seen = machine.show()
    assert (seen["ActiveState"], seen["StatusText"]) == ("active", "stop: waiting")
    main = machine.main()
    status = Path(f"/proc/{main}/status").read_text()
    assert "NoNewPrivs:\t1" in status and f"CapBnd:\t{0:016x}" in status
    for place in ("/opt/dreamvla/arm/x", "/etc/x", f"{Path.home()}/x"):
        assert "Read-only file system" in machine.run("touch", place, inside=main)
    assert machine.run("touch", "/run/dreamvla/arm/x", inside=main) == ""
    assert machine.ask(**START)["state"] == "driving"
    until(lambda: machine.ask(order="status")["guardian"]["state"] == "TRACK")
    until(lambda: machine.show()["StatusText"] == "driving")
    assert machine.ask(order="stop")["state"] == "stop"
    machine.run("systemctl", "stop", UNIT)
    seen = machine.show()
    assert (seen["ActiveState"], seen["Result"]) == ("inactive", "success")


def test_another_python(machine: Machine) -> None:
    """Up, with the cure in `systemctl status`, and not started again."""
    update_python(machine.release)
    assert machine.run("systemctl", "restart", UNIT) == ""
    seen = machine.show()
    assert seen["ActiveState"] == "active" and seen["NRestarts"] == "0"
    assert "was installed for Python 3.8" in seen["StatusText"]
    assert "what to do: flash the bundle again" in machine.run("systemctl", "status", UNIT)
    time.sleep(5)  # longer than RestartSec
    assert machine.show() == seen
    assert machine.ask(order="status")["error"]["cure"].startswith("flash the bundle again")


def test_one_that_hangs(machine: Machine) -> None:
    """Is ended and started again, in stop."""
    add(machine, "WatchdogSec=3", "TimeoutStopSec=1")
    os.kill(machine.main(), signal.SIGSTOP)
    until(lambda: machine.show()["NRestarts"] == "1" and machine.show()["ActiveState"] == "active")
    assert machine.show()["StatusText"] == "stop: waiting"


def test_one_that_crashes(machine: Machine) -> None:
    """Is started five times in all, then no more."""
    add(machine, "RestartSec=100ms")
    starts = 0
    while machine.show()["ActiveState"] == "active":
        assert starts < 5
        before = machine.show()["MainPID"]
        os.kill(machine.main(), signal.SIGKILL)
        until(lambda last=before: settled(machine, last))
        starts += 1
    assert machine.show()["ActiveState"] == "failed"
    assert machine.run("systemctl", "reset-failed", UNIT) == ""
    assert machine.run("systemctl", "restart", UNIT) == ""
    assert machine.show()["StatusText"] == "stop: waiting"


def settled(machine: Machine, before: str) -> bool:
    """Whether another process is up, or none will be."""
    seen = machine.show()
    up = seen["ActiveState"] == "active" and seen["MainPID"] not in ("0", before)
    return up or seen["ActiveState"] == "failed"
