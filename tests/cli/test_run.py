"""`dreamvla run` as a person runs it: on a terminal, with a virtual arm on a serial device."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from commands import Good, cure_of, document, dreamvla
from desk import SO101, Desk, until
from dreamvla_edge.cli.exit_codes import EXIT_CODES
from dreamvla_edge.runtime.guardian.client import Client, socket_path
from dreamvla_edge.runtime.guardian.message import State
from dreamvla_edge.sim.writes import read_writes

GOAL = 42


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
    time.sleep(1.5)  # a fast machine has typed all this before 100 cycles of 10 ms are over
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


def test_what_is_computed_ahead_leaves_the_guardian_its_core(good: Good, desk: Desk) -> None:
    """One thread of the run, and no other: the rest of the inference may need every core."""
    cores = os.sched_getaffinity(0)
    terminal = desk.terminal(*run(good, desk, "--json"))
    terminal.see("RAMP")
    threads = [int(path.name) for path in Path(f"/proc/{terminal.program.pid}/task").iterdir()]
    allowed = [os.sched_getaffinity(thread) for thread in threads]
    terminal.type("q\n")
    assert terminal.end()[0] == 0
    assert [a for a in allowed if a != cores] == ([cores - {max(cores)}] if len(cores) > 1 else [])


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
        (("--speed", 0.001), "LatencyError", "one step of the data set would take"),
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
