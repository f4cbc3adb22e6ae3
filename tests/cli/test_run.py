"""`dreamvla run` as a person runs it: on a terminal, with a virtual arm on a serial device."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import signal
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from commands import PROGRAM, Good, cure_of, document, dreamvla
from dreamvla_edge.cli.exit_codes import EXIT_CODES
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.guardian.client import Client, socket_path
from dreamvla_edge.runtime.guardian.lock import holder
from dreamvla_edge.runtime.guardian.message import State
from dreamvla_edge.sim.bus_process import BusProcess
from dreamvla_edge.sim.writes import read_writes

SO101 = load_description("so101")
PATIENT_S = 40.0
TORQUE, GOAL = 40, 42
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


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """With a folder of its own for sockets."""
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


def run(good: Good, desk: Desk, *more: object) -> tuple[object, ...]:
    """The arguments of a run."""
    instruction = ("--instruction", "open the drawer")
    time_base = ("--time-base", "stretched")  # a busy machine is no reason to fail
    return "run", good.bundle, "--robot", desk.robot, *instruction, *time_base, *more


def test_keys(good: Good, desk: Desk, tmp_path: Path) -> None:
    """Stop, clear, another instruction, one that is refused, reset, quit; and the document."""
    terminal = desk.terminal(*run(good, desk, "--json", "--record", tmp_path / "recording"))
    terminal.see("RAMP")
    after = terminal.type(" ")
    terminal.see("STOP (stopped at the keyboard)", after)
    after = terminal.type("c\n")
    terminal.see("RAMP", after)
    after = terminal.type("push the red block")
    terminal.see("> push the red block", after)
    terminal.type("\n")
    after = terminal.type("word " * 200 + "\n")
    terminal.see("expected:", after)
    after = terminal.type("r\n")
    terminal.see("RAMP", after)
    terminal.type("q\n")
    code, told = terminal.end()
    assert code == 0
    states = [(entry["state"], entry["reason"]) for entry in told["states"]]
    assert ("STOP", "stopped at the keyboard") in states
    assert states.index(("STOP", "stopped at the keyboard")) > [s for s, _ in states].index("RAMP")
    assert told["decisions"] > 3 and told["guardian_cycles"] > 100
    assert told["time_base"] in ("real", "stretched") and 0 < told["speed_factor"] <= 1
    assert 0 <= told["lateness_ms"]["p50"] <= told["lateness_ms"]["p99"]
    assert told["realtime"] or told["realtime_refused"]
    assert set(desk.torque().values()) == {1}
    until(desk.rests)
    goals = {w["servo"] for w in read_writes(desk.log) if w["address"] == GOAL}
    assert goals == {*SO101.servos}


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM", "SIGHUP"])
def test_however_it_is_ended_the_arm_is_held(
    good: Good, desk: Desk, tmp_path: Path, how: str
) -> None:
    """Torque on, at rest, and no process left behind."""
    terminal = desk.terminal(*run(good, desk, "--json"))
    terminal.see("RAMP")
    if how == "Ctrl-C":
        terminal.type("\x03")
    else:
        terminal.program.send_signal(getattr(signal, how))
    code, told = terminal.end()
    assert (code, told["exit_code"]) == (EXIT_CODES["Interrupted"],) * 2
    assert set(desk.torque().values()) == {1}
    until(desk.rests)


def test_a_run_that_is_killed_leaves_a_guardian_that_the_next_one_relieves(
    good: Good, desk: Desk, tmp_path: Path
) -> None:
    """It holds the arm; then another run begins without a person's help."""
    terminal = desk.terminal(*run(good, desk, "--json"))
    terminal.see("RAMP")
    terminal.program.kill()
    terminal.program.wait()
    left = desk.guardian()
    assert left is not None
    with Client(socket_path(desk.robot)) as client:
        until(lambda: client.report()["state"] == State.HOLD)
    until(desk.rests)
    assert set(desk.torque().values()) == {1}
    told = document(dreamvla(*run(good, desk, "--json", "--seconds", 3)))
    assert told["decisions"] > 0
    assert not Path(f"/proc/{left}").exists()
    assert set(desk.torque().values()) == {1}


def test_a_second_run_is_refused_while_the_first_one_drives(
    good: Good, desk: Desk, tmp_path: Path
) -> None:
    """It says which process has the arm; the first one goes on."""
    terminal = desk.terminal(*run(good, desk, "--json"))
    terminal.see("RAMP")
    first = desk.guardian()
    done = dreamvla(*run(good, desk, "--seconds", 3))
    assert done.returncode == EXIT_CODES["GuardianError"]
    assert f"process {first}" in done.stderr
    assert desk.guardian() == first
    terminal.type("q\n")
    assert terminal.end()[0] == 0


def test_shadow_touches_nothing(good: Good, desk: Desk) -> None:
    """And says what comes next."""
    done = dreamvla(*run(good, desk, "--json", "--shadow", "--seconds", 3))
    told = document(done)
    assert told["decisions"] > 0 and done.returncode == 0
    assert "--speed 0.25" in told["next"]
    assert read_writes(desk.log) == []


def test_limp_lowers_at_the_end(good: Good, desk: Desk) -> None:
    """And takes the torque."""
    done = dreamvla(*run(good, desk, "--json", "--limp", "--seconds", 3))
    assert (done.returncode, done.stderr) == (0, "")
    assert set(desk.torque().values()) == {0}


@pytest.mark.parametrize(
    ("options", "error", "found"),
    [
        (("--time-base", "real", "--speed", 0.25), "LatencyError", "0.25 of the speed"),
        (("--instruction", "word " * 200), "ObservationError", ""),
        (("--instruction", ""), "ObservationError", ""),
    ],
)
def test_what_is_refused_before_the_arm_is_touched(
    good: Good, desk: Desk, options: tuple[object, ...], error: str, found: str
) -> None:
    """A time base that cannot be served, an instruction that cannot be followed."""
    done = dreamvla(*run(good, desk, "--seconds", 1, *options))
    assert done.returncode == EXIT_CODES[error], done.stderr
    assert found in cure_of(done.stderr)[0]
    assert read_writes(desk.log) == []


def test_an_arm_that_is_not_there(good: Good, desk: Desk) -> None:
    """The port is named, and no guardian stays."""
    desk.robot.write_text(desk.robot.read_text().replace("/port", "/no-port"))
    done = dreamvla(*run(good, desk, "--seconds", 1))
    assert done.returncode == EXIT_CODES["ArmError"], done.stderr
    assert "no-port" in cure_of(done.stderr)[0]
