"""`dreamvla record` with virtual arms: led by hand, and by a leader arm."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from commands import PROGRAM, cure_of, dreamvla
from dreamvla_edge.cli.robot_text import new_text
from dreamvla_edge.runtime.cameras.source import CameraSource
from dreamvla_edge.runtime.recording.recording import Recording, open_recording
from dreamvla_edge.sim.bus_process import BusProcess

SIZED = {role: CameraSource(kind="simulated", width=80, height=60) for role in ("primary", "wrist")}
PRESENT_POSITION = 56
STEP_RAD = 2 * np.pi / 4096


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[BusProcess]:
    """The arm that does the task."""
    with BusProcess("so101", link=tmp_path / "port") as process:
        yield process


@pytest.fixture
def robot(bus: BusProcess, tmp_path: Path) -> Path:
    """Its robot file."""
    file = tmp_path / "robot.toml"
    file.write_text(new_text("table", "so101", bus.port, SIZED))
    return file


def place(bus: BusProcess, servo: int, step: int) -> None:
    """Makes a servo measure a position, as if a hand had turned it there."""
    bus.command(f"set {servo} {PRESENT_POSITION} {step & 255}")
    bus.command(f"set {servo} {PRESENT_POSITION + 1} {step >> 8}")


def until(condition: Callable[[], bool], what: str) -> None:
    """Waits for another process."""
    deadline = time.monotonic() + 40
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


class Person:
    """Somebody at the keys of `dreamvla record`, who watches what is written."""

    def __init__(self, robot: Path, output: Path, *arguments: object) -> None:
        command = [*PROGRAM, "record", robot, "-o", output, "--task", "open the drawer"]
        self.output = output
        self.program = subprocess.Popen(
            list(map(str, [*command, "--rate", 20, "--lossless", *arguments])),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def __enter__(self) -> Person:
        """Has begun."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ctrl-C, if the program still runs: the arm's guardian ends with it."""
        if self.program.poll() is None:
            self.program.send_signal(signal.SIGINT)
            self.program.communicate(timeout=120)

    def press(self, key: str) -> None:
        """One key."""
        assert self.program.stdin is not None
        self.program.stdin.write(key.encode())
        self.program.stdin.flush()

    def see(self, number: int, steps: int) -> None:
        """Waits until a demonstration has so many steps."""
        folder = self.output / f"{number:03d}"
        until(
            lambda: (
                self.program.poll() is not None
                or ((folder / "steps.bin").exists() and len(open_recording(folder).steps) >= steps)
            ),
            f"no {steps} steps",
        )
        assert self.program.poll() is None, self.program.communicate()[1].decode()

    def leave(self) -> str:
        """Quits; what the program printed."""
        self.press("q")
        said, errors = self.program.communicate(timeout=120)
        assert self.program.returncode == 0, errors.decode()
        return said.decode()


def require_whole(recording: Recording, steps: int) -> None:
    """Frames, reports and steps belong together."""
    assert len(recording.steps) >= steps
    assert recording.lost_bytes == {}
    assert recording.header.specification.action.kind == "joints"
    assert {step.instruction for step in recording.steps} == {"open the drawer"}
    assert len(recording.episodes) == 1
    for step in recording.steps:
        image, exact = recording.frames["wrist"].seen(step.wrist_s)
        assert exact
        assert image.shape == (60, 80, 3)
    assert len(recording.reports) > 2 * len(recording.steps)


def test_by_hand(bus: BusProcess, robot: Path, tmp_path: Path) -> None:
    """The elbow is turned by hand; every action is where the arm was a step later."""
    with Person(robot, tmp_path / "demos", "--by-hand") as person:
        person.press("\n")
        person.see(0, 3)
        place(bus, 3, 2048 + 200)
        person.see(0, 12)
        person.press("s\n")
        person.see(1, 3)
        person.press("d")
        said = person.leave()
    assert "000: success" in said
    assert "001: discard" in said
    assert [path.name for path in (tmp_path / "demos").iterdir()] == ["000"]
    recording = open_recording(tmp_path / "demos" / "000")
    assert recording.outcome == "success"
    require_whole(recording, 12)
    elbow = np.array([step.state[2] for step in recording.steps])
    assert elbow[0] == pytest.approx(0, abs=0.05)
    assert elbow[-1] == pytest.approx(200 * STEP_RAD, abs=1e-3)
    for step, following in zip(recording.steps[:-1], recording.steps[1:], strict=True):
        np.testing.assert_array_equal(step.action, following.state)
        np.testing.assert_array_equal(step.joints[0].astype(np.float32), following.state[:5])
    assert not recording.reports["written"].any()  # a led arm is never driven


def test_with_a_leader(bus: BusProcess, robot: Path, tmp_path: Path) -> None:
    """The arm goes where the leader is turned."""
    with (
        BusProcess("so101", link=tmp_path / "leader") as leader,
        Person(robot, tmp_path / "demos", "--leader", leader.port) as person,
    ):
        person.press("\n")
        person.see(0, 3)
        place(leader, 1, 2048 + 250)
        until(lambda: abs(float(bus.command("position 1")) - 2298) < 12, "the arm did not follow")
        person.see(0, len(open_recording(person.output / "000").steps) + 3)  # seen there as well
        person.press("f")
        assert "000: failure" in person.leave()
    recording = open_recording(tmp_path / "demos" / "000")
    assert recording.outcome == "failure"
    require_whole(recording, 4)
    last = recording.steps[-1]
    assert last.action[0] == pytest.approx(250 * STEP_RAD, abs=1e-3)
    assert last.state[0] == pytest.approx(250 * STEP_RAD, abs=0.02)
    np.testing.assert_array_equal(last.joints[:, 0], last.joints[0, 0])


def test_a_leader_may_lose_an_answer(bus: BusProcess, robot: Path, tmp_path: Path) -> None:
    """A twentieth of all is lost, so some reading fails in nearly every second of recording."""
    with (
        BusProcess("so101", link=tmp_path / "leader") as leader,
        Person(robot, tmp_path / "demos", "--leader", leader.port) as person,
    ):
        person.press("\n")
        person.see(0, 3)
        leader.command("fault bus intermittent 0.05")
        person.see(0, 43)
        leader.command("fault bus ok")
        person.press("f")
        assert "000: failure" in person.leave()


def test_a_leader_elsewhere_is_refused(bus: BusProcess, robot: Path, tmp_path: Path) -> None:
    with BusProcess("so101", link=tmp_path / "leader") as leader:
        place(leader, 2, 2048 - 400)
        person = Person(robot, tmp_path / "demos", "--leader", leader.port)
        person.press("\n")
        _, errors = person.program.communicate(timeout=120)
        assert person.program.returncode == 8
        assert "shoulder_lift is 0.6" in cure_of(errors.decode())[0]
        assert float(bus.command("position 2")) == pytest.approx(2048, abs=3)


def test_usage(tmp_path: Path) -> None:
    done = dreamvla("record", "robot.toml", "-o", tmp_path / "o", "--task", "x")
    assert done.returncode == 2
    assert cure_of(done.stderr)[0] == "neither --leader nor --by-hand"
