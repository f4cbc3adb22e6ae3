"""`dreamvla record export`, `replay` and `doctor`, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from commands import cure_of, document, dreamvla, entries
from dreamvla_edge.runtime.guardian.message import Limit
from dreamvla_edge.runtime.recording.lerobot_reader import read_lerobot
from dreamvla_edge.runtime.recording.plot import HEIGHT, draw
from dreamvla_edge.runtime.recording.recorder import Recorder
from dreamvla_edge.runtime.recording.recording import Recording, open_recording
from recording.recordings import JOINTS, header, made, random_step, steady_report


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    """Six steps, two episodes."""
    return made(tmp_path_factory.mktemp("r") / "r", steps=6, lossless=True, resets=(4,))[0]


def test_export(recording: Recording, tmp_path: Path) -> None:
    failed = tmp_path / "failed"
    recorder = Recorder(failed, header())
    recorder.step(random_step(np.random.default_rng(0), 0))
    recorder.close("failure")
    output = tmp_path / "out"
    done = dreamvla(
        "record", "export", recording.folder, failed, "--format", "lerobot", "-o", output, "--json"
    )
    assert done.returncode == 0, done.stderr
    said = document(done)
    assert (said["episodes"], said["steps"], said["recordings"]) == (2, 6, [str(recording.folder)])
    assert [episode.task for episode in read_lerobot(output)] == ["task 0", "task 4"]
    again = dreamvla("record", "export", recording.folder, "--format", "calvin", "-o", output)
    assert again.returncode == 9
    assert "exists" in cure_of(again.stderr)[0]


def test_an_export_that_fails_leaves_nothing(recording: Recording, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    Recorder(empty, header(lossless=True)).close()
    before = entries(tmp_path)
    done = dreamvla(
        "record", "export", recording.folder, empty, "--format", "calvin", "-o", tmp_path / "out"
    )
    assert done.returncode == 15
    assert entries(tmp_path) == before


def test_a_missing_extra_is_named(recording: Recording, tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "from dreamvla_edge.cli.command import main; main()"
    )
    arguments = ["record", "export", recording.folder, "--format", "lerobot", "-o", tmp_path / "o"]
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 11
    assert cure_of(done.stderr)[2] == "pip install 'dreamvla-edge[record]'"


def test_the_plot_shows_what_was_measured_and_what_acted(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "r", header())
    for cycle in range(200):
        joints = np.full(JOINTS, 0.1 * (cycle >= 100))
        report = steady_report(cycle, joints)
        report["asked"] = np.nan  # no waypoints yet
        if cycle == 150:
            report["limit"], report["limit_joint"] = Limit.VELOCITY, 2
        recorder.report(report.tobytes())
    recorder.close()
    picture = tmp_path / "plot.svg"
    done = dreamvla("replay", tmp_path / "r", "--plot", picture)
    assert done.returncode == 0, done.stderr
    assert picture.read_text() == draw(open_recording(tmp_path / "r"))
    root = ElementTree.parse(picture).getroot()
    name = "{http://www.w3.org/2000/svg}"
    lines = root.findall(f"{name}polyline")
    # Five joints with two known lines each, the gripper's three, lateness.
    assert len(lines) == 5 * 2 + 3 + 1
    points = np.array([p.split(",") for p in lines[1].attrib["points"].split()], float)
    low, high = points[0, 1], points[-1, 1]
    assert low - high == pytest.approx(HEIGHT)  # from 0 at the foot to 0.1 rad at the top
    assert points[np.argmax(points[:, 1] < low), 0] == pytest.approx(70 + 1000 * 100 / 199, abs=0.1)
    (mark,) = root.findall(f"{name}path")
    assert mark.attrib["d"].startswith(f"M{70 + 1000 * 150 / 199:.1f} ")
    text = [element.text or "" for element in root.findall(f"{name}text")]
    assert "velocity" in text[0]
    again = dreamvla("replay", tmp_path / "r", "--plot", picture)
    assert again.returncode == 9


def test_a_long_plot_keeps_every_peak(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "r", header())
    packets = [steady_report(cycle, np.zeros(JOINTS)) for cycle in range(20)]
    packets[7]["lateness_ns"] = 9_000_000
    for cycle in range(4000):
        packet = packets[cycle % 20 if cycle < 20 else 0].copy()
        packet["deadline_ns"] += cycle * 10_000_000
        recorder.report(packet.tobytes())
    recorder.close()
    root = ElementTree.fromstring(draw(open_recording(tmp_path / "r")))
    late = root.findall("{http://www.w3.org/2000/svg}polyline")[-1].attrib["points"].split()
    heights = [float(point.split(",")[1]) for point in late]
    assert max(heights) - min(heights) == pytest.approx(HEIGHT)
    assert len(late) < 3100


def test_doctor(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "r", header())
    random = np.random.default_rng(0)
    for number in range(30):
        step = random_step(random, number, number == 0)
        seen_s = step.observed_s
        times_ns = ((seen_s + np.arange(1, 4) / 30) * 1e9).astype(np.int64)
        spans = {"policy": (seen_s, seen_s + 0.3)}
        still = np.zeros((3, JOINTS))
        recorder.step(replace(step, times_ns=times_ns, spans=spans, joints=still, speed=1.0))
    recorder.close()
    done = dreamvla("doctor", tmp_path / "r", "--json")
    assert done.returncode == 0, done.stderr
    causes = document(done)["causes"]
    assert causes[0]["name"] == "late chunks"
    assert "29 of 29" in causes[0]["evidence"]
    text = dreamvla("doctor", tmp_path / "r").stdout
    assert "1. late chunks (score 50.0)" in text
    assert "what to do: " in text
    assert "the arm's side" in text


def test_no_recording(tmp_path: Path) -> None:
    for arguments in (["doctor", tmp_path], ["replay", tmp_path, "--plot", tmp_path / "a.svg"]):
        done = dreamvla(*arguments)
        assert done.returncode == 15
        assert "header.json" in cure_of(done.stderr)[1]


def test_replay_needs_something_to_do(recording: Recording) -> None:
    done = dreamvla("replay", recording.folder)
    assert done.returncode == 2
    assert "--policy" in cure_of(done.stderr)[1]
