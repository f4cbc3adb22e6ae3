"""A virtual arm on a serial device, and `dreamvla` on a terminal beside it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import subprocess
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from commands import PROGRAM
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.guardian.client import socket_path
from dreamvla_edge.runtime.guardian.lock import holder
from dreamvla_edge.sim.bus_process import BusProcess
from dreamvla_edge.sim.writes import read_writes

SO101 = load_description("so101")
PATIENT_S = 120.0
TORQUE = 40
CAMERAS = '[cameras.primary]\nkind = "simulated"\n[cameras.wrist]\nkind = "simulated"\n'


class Desk:
    """A virtual arm that stays when programs end, its robot file and its log."""

    def __init__(self, folder: Path) -> None:
        self.log, self.robot = folder / "bus.log", folder / "robot.toml"
        self.terminals: list[Terminal] = []
        self.bus = BusProcess("so101", link=folder / "port", log=self.log)
        port = folder / "port"
        self.robot.write_text(f'name = "desk"\n[arm]\ntype = "so101"\nport = "{port}"\n{CAMERAS}')

    def torque(self) -> dict[int, int]:
        """The last value that each servo was told."""
        writes = read_writes(self.log)
        return {w["servo"]: w["data"][0] for w in writes if w["address"] == TORQUE}

    def rests(self) -> bool:
        """Whether no servo turns faster than 0.02 rad/s: 4 steps in 0.3 s."""
        before = [float(self.bus.command(f"position {servo}")) for servo in SO101.servos]
        time.sleep(0.3)
        after = [float(self.bus.command(f"position {servo}")) for servo in SO101.servos]
        return max(abs(b - a) for a, b in zip(before, after, strict=True)) < 4

    def guardian(self) -> int | None:
        """The process that guards the arm now."""
        found = holder(socket_path(self.robot).with_suffix(".lock"))
        return found if found is not None and Path(f"/proc/{found}").exists() else None

    def terminal(self, *arguments: object) -> Terminal:
        """`dreamvla` on a terminal that is closed at the end of the test."""
        self.terminals.append(Terminal(self.log.with_name("stdout"), *arguments))
        return self.terminals[-1]


class Terminal:
    """`dreamvla` in the foreground of a terminal of its own; stdout goes to a file."""

    def __init__(self, output: Path, *arguments: object) -> None:
        self._shown = bytearray()
        self._master, terminal = pty.openpty()
        self._output = output
        with self._output.open("w") as stdout:
            self.program = subprocess.Popen(
                [*PROGRAM, *map(str, arguments)],
                stdin=terminal,
                stdout=stdout,
                stderr=terminal,
                start_new_session=True,
                preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            )
        os.close(terminal)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self._master, 4096):
                self._shown.extend(data)

    def type(self, text: str) -> int:
        """Presses keys; how much was shown before."""
        before = len(self._shown)
        os.write(self._master, text.encode())
        return before

    def see(self, text: str, after: int = 0) -> None:
        """Waits until something is shown."""
        until(lambda: text.encode() in self._shown[after:], lambda: self._shown.decode())

    def end(self) -> tuple[int, dict[str, Any]]:
        """Exit status and document."""
        code = self.program.wait(PATIENT_S)
        self._reader.join()
        os.close(self._master)
        return code, json.loads(self._output.read_text())


def until(so: Callable[[], bool], found: Callable[[], object] = lambda: "") -> None:
    """Waits for something."""
    deadline = time.monotonic() + PATIENT_S
    while not so():
        assert time.monotonic() < deadline, found()
        time.sleep(0.02)
