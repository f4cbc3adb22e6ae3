"""The service of a device: `dreamvla serve` with systemd's socket, orders, and a virtual arm."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import PROGRAM
from desk import PATIENT_S, SO101, Desk, until
from dreamvla_edge.cli.service import Service
from dreamvla_edge.demo import BUNDLE
from dreamvla_edge.deploy.device.control import ask
from dreamvla_edge.deploy.device.control_server import ControlServer
from dreamvla_edge.deploy.device.notify import notify
from dreamvla_edge.deploy.engine import build_engines
from dreamvla_edge.kernels import cuda_device
from dreamvla_edge.kernels.emulation.emulation import Memory
from dreamvla_edge.runtime.backends.engine import engine_key
from dreamvla_edge.runtime.backends.shapes import shapes
from dreamvla_edge.runtime.bundle import open_bundle
from dreamvla_edge.sim.writes import read_writes
from recorded_tensorrt import VERSIONS, Recorded

GOAL = 42
SERVE = (*PROGRAM, "serve")
START = {"order": "start", "instruction": "push the red block", "speed": 0.5}


class Served:
    """A service that runs, and what it tells systemd."""

    def __init__(
        self, folder: Path, robot: Path, *options: object, start: Sequence[object] = SERVE
    ) -> None:
        self.control = folder / "control.socket"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(folder / "notify"))
        self._socket.settimeout(PATIENT_S)
        command = [*start, *options, "--robot", robot, "--control", self.control]
        environment = {"NOTIFY_SOCKET": str(folder / "notify"), "HOME": str(folder)}
        self.program = subprocess.Popen(list(map(str, command)), env=environment)

    def told(self, line: str) -> list[str]:
        """Waits until systemd is told a line; the message that holds it."""
        deadline = time.monotonic() + PATIENT_S
        while True:
            assert time.monotonic() < deadline, f"systemd was not told {line}"
            message = self._socket.recv(4096).decode().split("\n")
            if line in message:
                return message

    def ask(self, **order: Any) -> dict[str, Any]:
        """An order, and what came of it."""
        return ask(self.control, order)

    def end(self) -> int:
        """As systemd ends it; the exit code."""
        self.program.send_signal(signal.SIGTERM)
        code = self.program.wait(PATIENT_S)
        self.told("STOPPING=1")
        self._socket.close()
        return code


@contextmanager
def served(
    folder: Path, robot: Path, *options: object, start: Sequence[object] = SERVE
) -> Iterator[Served]:
    """A service that is ended in any case."""
    service = Served(folder, robot, *options, start=start)
    try:
        yield service
    finally:
        if service.program.poll() is None:
            service.program.kill()
            service.program.wait()


def test_it_waits_with_the_arm_untouched(desk: Desk, tmp_path: Path) -> None:
    """Ready, then signs of life; the port is never opened; SIGTERM is a good end."""
    with served(tmp_path, desk.robot, BUNDLE) as service:
        assert service.told("READY=1")[1] == "STATUS=stop: waiting"
        for _ in range(2):
            service.told("WATCHDOG=1")
        status = service.ask(order="status")
        assert (status["state"], status["error"], status["guardian"]) == ("stop", None, None)
        assert status["bundle"] == str(BUNDLE) and status["has_robot"]
        assert "error" in service.ask(order="dance")
        assert service.end() == 0
    assert not service.control.exists()
    assert "rx" not in desk.log.read_text()


def test_start_and_stop(desk: Desk, tmp_path: Path) -> None:
    """From stop to stop: it drives, is held with torque, and can be started again."""
    with served(tmp_path, desk.robot, BUNDLE) as service:
        service.told("READY=1")
        assert service.ask(**START)["state"] == "driving"
        assert set(desk.torque().values()) == {1}
        until(lambda: any(w["address"] == GOAL for w in read_writes(desk.log)[40:]))
        service.told("STATUS=driving")
        refused = service.ask(**START)["error"]
        assert "drives already" in refused["found"]
        stopped = service.ask(order="stop")
        assert (stopped["state"], stopped["last_error"]) == ("stop", None)
        assert desk.guardian() is None
        until(desk.rests)
        assert set(desk.torque().values()) == {1}
        goals = {w["servo"] for w in read_writes(desk.log) if w["address"] == GOAL}
        assert goals == {*SO101.servos}
        assert service.ask(**START, shadow=True)["state"] == "driving"
        assert service.end() == 0  # in mid-run: held, as by stop
    assert desk.guardian() is None


def test_a_stop_while_it_starts(desk: Desk, tmp_path: Path) -> None:
    """It does not wait for the start to be over, and no torque comes on after it."""
    with served(tmp_path, desk.robot, BUNDLE) as service:
        service.told("READY=1")
        with socket.socket(socket.AF_UNIX) as starter:
            starter.connect(str(service.control))
            starter.sendall(json.dumps(START).encode() + b"\n")
            until(lambda: service.ask(order="status")["state"] == "starting")
            assert service.ask(order="stop")["state"] == "stop"
        time.sleep(0.5)
        assert service.ask(order="status")["state"] == "stop"
        assert desk.guardian() is None and desk.torque() == {}
        assert service.end() == 0


def test_a_run_that_fails_is_said(desk: Desk, tmp_path: Path) -> None:
    """A robot file that is not there ends no service: no restart loop."""
    robot = tmp_path / "none.toml"
    with served(tmp_path, robot, BUNDLE) as service:
        service.told("READY=1")
        assert not service.ask(order="status")["has_robot"]
        refused = service.ask(**START)["error"]
        assert str(robot) in refused["found"] and "dreamvla robot init" in refused["cure"]
        status = service.ask(order="status")
        assert (status["state"], status["last_error"]) == ("stop", refused)
        assert service.end() == 0


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ((BUNDLE, "--backend", "tensorrt"), "tensorrt"),
        (("nowhere",), "no directory"),
    ],
)
def test_a_policy_that_does_not_load(
    desk: Desk, tmp_path: Path, options: tuple[object, ...], found: str
) -> None:
    """As after a change of JetPack or power mode: up, in stop, with the cure."""
    with served(tmp_path, desk.robot, *options) as service:
        line = service.told("READY=1")[1]
        assert found in line and "what to do: " in line
        error = service.ask(order="status")["error"]
        assert found in error["found"] and error["cure"]
        assert service.ask(**START) == {"error": error}
        assert service.end() == 0
    assert "rx" not in desk.log.read_text()


@pytest.mark.parametrize("moment", ["_load", "_line"])
def test_a_signal_while_it_gets_ready(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """While the policy loads or readiness is told: systemd hears that it stops."""

    def interrupted() -> str:
        raise KeyboardInterrupt

    service = Service(BUNDLE, tmp_path / "robot.toml", "onnxruntime")
    monkeypatch.setattr(service, moment, interrupted)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "n"))
        systemd.settimeout(PATIENT_S)
        with pytest.raises(KeyboardInterrupt):
            service.run()
        assert systemd.recv(100) == b"STOPPING=1"


class Gpu:
    """As much of a CudaDevice as loading an engine needs."""

    architecture, multiprocessors, stream = "sm_87", 8, 1

    def zeros(self, shape: tuple[int, ...], dtype: Any) -> Memory:
        """In the host's memory."""
        return Memory(np.zeros(max(1, int(np.prod(shape))), dtype))


def test_an_engine_of_another_power_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It loads in the mode that it was built in; in another the service waits with the cure."""
    bundle = open_bundle(BUNDLE)
    specs = bundle.manifest.subgraphs
    uses = {name: shapes(bundle.manifest.network, name, specs[name]) for name in specs}
    api = Recorded(VERSIONS[0], uses)
    monkeypatch.setitem(sys.modules, "tensorrt", api)
    monkeypatch.setattr(cuda_device, "CudaDevice", Gpu)
    monkeypatch.setenv("DREAMVLA_ENGINES", str(tmp_path / "engines"))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    nvpmodel = tmp_path / "nvpmodel"
    errors = []
    for mode in ("25W", "15W"):
        nvpmodel.write_text(f"#!/bin/sh\necho 'NV Power Mode: {mode}'\n")
        nvpmodel.chmod(0o755)
        if mode == "25W":
            key = engine_key(bundle.path, api.__version__, "sm_87", 8)
            assert key.power_mode == mode
            build_engines(bundle, key, lambda: 10**12)
        service = Service(BUNDLE, tmp_path / "robot.toml", "tensorrt")
        service._load()
        errors.append(service.answer({"order": "status"})["error"])
    assert errors[0] is None
    assert "no engine for" in errors[1]["found"] and "power mode 15W" in errors[1]["expected"]
    assert errors[1]["cure"].startswith("flash the bundle again")


def test_notify(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One datagram; an @ is the zero byte of an abstract name; without a socket nothing."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    for name, address in ((f"@{tmp_path}", f"\0{tmp_path}"), (str(tmp_path / "n"),) * 2):
        monkeypatch.setenv("NOTIFY_SOCKET", name)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
            systemd.bind(address)
            assert notify("READY=1", "STATUS=well")
            assert systemd.recv(100) == b"READY=1\nSTATUS=well"


@pytest.mark.parametrize("line", [b"", b"\n", b"[]\n", b"{\n", b"\xff\n", b"1" * 70000 + b"\n"])
def test_nonsense_on_the_control_socket(tmp_path: Path, line: bytes) -> None:
    """Is answered, and the next one is served."""
    with ControlServer(tmp_path / "s", lambda order: {"echo": order}) as server:
        del server
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "s"))
            try:
                client.sendall(line)
                client.shutdown(socket.SHUT_WR)
                assert b"no JSON" in client.recv(4096)
            except (BrokenPipeError, ConnectionResetError):
                assert len(line) > 65536  # it had heard enough
        assert ask(tmp_path / "s", {"a": 1}) == {"echo": {"a": 1}}
        assert (tmp_path / "s").stat().st_mode & 0o777 == 0o600
