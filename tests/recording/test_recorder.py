"""What was recorded can be read, whatever ended the recording; and recording stops nobody."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands import small_disk
from dreamvla_edge.runtime.errors import RecordingError
from dreamvla_edge.runtime.guardian.message import REPORT
from dreamvla_edge.runtime.recording import recorder as recorder_module
from dreamvla_edge.runtime.recording.recorder import FRAMES, Recorder
from dreamvla_edge.runtime.recording.recording import open_recording
from dreamvla_edge.runtime.recording.records import find, packed
from dreamvla_edge.runtime.recording.step import Step, decode_step, encode_step
from recording.recordings import JOINTS, header, made, picture, random_step, steady_report

ENDLESS = """
import sys, time, json
import numpy as np
from pathlib import Path
from dreamvla_edge.runtime.recording.recorder import Recorder
from recording.recordings import header, picture, random_step, steady_report
recorder = Recorder(Path(sys.argv[1]), header(lossless=True))
random, joints = np.random.default_rng(0), np.zeros(5)
number = 0
while True:
    recorder.step(random_step(random, number))
    recorder.frame("primary", picture(number, 60, 80), float(number))
    recorder.report(steady_report(number, joints).tobytes())
    recorder.event("count", str(number))
    number += 1
    time.sleep(0.001)
    written = recorder.written
    print(json.dumps([dict(written.counts), dict(written.dropped)]), flush=True)
"""


def same(one: object, other: object) -> bool:
    """Whether two steps are equal bit for bit."""
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if field.name == "before":
            if len(a) != len(b) or not all(map(same, a, b)):
                return False
        elif isinstance(a, np.ndarray):
            if a.shape != b.shape or a.dtype != b.dtype or a.tobytes() != b.tobytes():
                return False
        elif a != b:
            return False
    return True


def test_everything_comes_back_bit_for_bit(tmp_path: Path) -> None:
    recording, given = made(tmp_path / "r", lossless=True, resets=(5, 9))
    assert recording.header == header(lossless=True)
    assert len(recording.steps) == len(given)
    assert all(map(same, recording.steps, given))
    assert [event.kind for event in recording.events] == ["start", "outcome"]
    assert recording.outcome == "success"
    assert recording.episodes == (range(0, 5), range(5, 9), range(9, 12))
    assert recording.reports["cycle"].tolist() == list(range(36))
    assert recording.lost_bytes == {}
    for number, step in enumerate(given):
        image, exact = recording.frames["primary"].seen(step.primary_s)
        assert exact
        np.testing.assert_array_equal(image, picture(number, 200, 200))
        assert recording.frames["wrist"].stamps_s[number] == step.wrist_s


def test_a_jpeg_keeps_coloured_edges(tmp_path: Path) -> None:
    """What a policy is shown in a replay is nearly what it saw: 95 % with all colours."""
    recording, given = made(tmp_path / "r", steps=1)
    found, _ = recording.frames["primary"].seen(given[0].primary_s)
    error = np.mean((found.astype(float) - picture(0, 200, 200)) ** 2)
    assert 10 * np.log10(255**2 / error) > 45


@given(
    st.lists(st.floats(width=32), min_size=7, max_size=7),
    st.lists(st.floats(), min_size=5, max_size=5),
    st.text(),
)
def test_any_float_and_any_text_survive(
    state: list[float], joints: list[float], instruction: str
) -> None:
    step = random_step(np.random.default_rng(0), 0)
    changed = Step(
        **{
            **vars(step),
            "state": np.array(state, np.float32),
            "joints": np.array([joints]),
            "instruction": instruction.encode(errors="ignore").decode(),
            "noise": None,
        }
    )
    assert same(decode_step(encode_step(changed)), changed)


@pytest.mark.parametrize("pause_s", [0.0, 0.02, 0.07])
def test_what_was_written_survives_kill_9(tmp_path: Path, pause_s: float) -> None:
    folder = tmp_path / "r"
    child = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
    )
    assert child.stdout is not None
    for _ in range(120):
        said = child.stdout.readline()
    time.sleep(pause_s)  # so that it is killed at another place of its work
    child.send_signal(signal.SIGKILL)
    rest = child.stdout.read().rpartition("\n")[0]  # a line may have been cut
    child.wait()
    said = (said + rest).splitlines()[-1]
    counts, dropped = json.loads(said)
    recording = open_recording(folder)
    found = {
        "steps.bin": len(recording.steps),
        "reports.bin": len(recording.reports),
        "events.bin": len(recording.events),
        "frames_primary.bin": len(recording.frames["primary"]),
    }
    assert not dropped
    assert counts["steps.bin"] > 100
    # The thread goes on while the count is printed: more may be there, never less.
    assert all(counts[name] <= found[name] <= counts[name] + 200 for name in counts)
    random = np.random.default_rng(0)
    for number, step in enumerate(recording.steps):
        assert same(step, random_step(random, number))
    assert recording.reports["cycle"].tolist() == list(range(found["reports.bin"]))
    for number in (0, found["frames_primary.bin"] - 1):
        np.testing.assert_array_equal(recording.frames["primary"][number], picture(number, 60, 80))
    assert recording.outcome == "unknown"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a recording of six steps."""
    return made(tmp_path_factory.mktemp("whole") / "r", steps=6)[0].folder


@pytest.mark.parametrize("name", ["steps.bin", "events.bin", "frames_wrist.bin", "reports.bin"])
@pytest.mark.parametrize("share", [0.0, 0.31, 0.5, 0.87, 0.999])
def test_a_cut_file_gives_what_is_whole_and_says_what_is_not(
    whole: Path, tmp_path: Path, name: str, share: float
) -> None:
    for file in whole.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    data = (whole / name).read_bytes()
    end = int(share * len(data))
    (tmp_path / name).write_bytes(data[:end])
    recording = open_recording(tmp_path)
    if name == "reports.bin":
        assert len(recording.reports) == end // REPORT.itemsize
        lost = end % REPORT.itemsize
    else:
        ends = [0, *(place[1] for place in find(whole / name).places)]
        kept = max(i for i, e in enumerate(ends) if e <= end)
        assert len(find(tmp_path / name)) == kept
        lost = end - ends[kept]
    assert recording.lost_bytes == ({name: lost} if lost else {})


@given(st.data())
def test_a_changed_byte_ends_the_reading_there(whole: Path, data: st.DataObject) -> None:
    original = (whole / "steps.bin").read_bytes()
    places = find(whole / "steps.bin").places
    position = data.draw(st.integers(0, len(original) - 1))
    changed = bytearray(original)
    changed[position] ^= data.draw(st.integers(1, 255))
    file = whole.parent / "changed.bin"
    file.write_bytes(changed)
    records = find(file)
    intact = sum(end <= position for _, end in places)
    assert len(records) == intact
    assert records.lost_bytes == len(original) - (places[intact - 1][1] if intact else 0)


def test_a_stuck_disk_stops_nobody_and_what_is_dropped_is_counted(tmp_path: Path) -> None:
    folder = tmp_path / "r"
    recorder = Recorder(folder, header())
    pipe = folder / FRAMES["primary"]
    os.mkfifo(pipe)  # to open it waits for a reader, as a dead disk would
    recorder.frame("primary", picture(0, 20, 20), 0.0)
    packet = steady_report(0, np.zeros(JOINTS)).tobytes()
    for number in range(10_000):
        recorder.report(packet)
        recorder.frame("wrist", picture(number % 7, 20, 20), float(number))
    dropped = recorder.written.dropped
    assert dropped["reports.bin"] > 5000
    assert dropped["frames_wrist.bin"] > 9000
    reader = os.open(pipe, os.O_RDONLY)
    written = recorder.close()
    os.close(reader)
    assert written.stopped is None
    assert written.counts["reports.bin"] + written.dropped["reports.bin"] == 10_000
    assert written.counts["frames_wrist.bin"] + written.dropped["frames_wrist.bin"] == 10_000
    pipe.unlink()
    assert len(open_recording(folder).reports) == written.counts["reports.bin"]


def test_a_dead_disk_does_not_keep_the_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder_module, "_CLOSE_S", 0.3)
    recorder = Recorder(tmp_path / "r", header())
    os.mkfifo(tmp_path / "r" / FRAMES["primary"])
    recorder.frame("primary", picture(0, 20, 20), 0.0)
    for number in range(5):
        recorder.step(random_step(np.random.default_rng(0), number))
    written = recorder.close()
    assert "taken nothing" in str(written.stopped)
    assert written.dropped["steps.bin"] == 5


def test_a_frame_is_the_one_that_was_given(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "r", header(lossless=True))
    image = picture(0, 84, 84)
    given = image.copy()
    recorder.frame("wrist", image, 1.0)
    image[:] = 0  # the camera's ring goes on
    recorder.close()
    np.testing.assert_array_equal(open_recording(tmp_path / "r").frames["wrist"][0], given)


def test_recording_ends_when_the_reserve_is_reached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real disk; its reserve is what is free now but 30 MB."""
    assert recorder_module.RESERVE_BYTES == 1_000_000_000
    disk = os.statvfs(tmp_path)
    reserve = disk.f_bavail * disk.f_frsize - 30_000_000
    monkeypatch.setattr(recorder_module, "RESERVE_BYTES", reserve)
    recorder = Recorder(tmp_path / "r", header(lossless=True))
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    number = 0
    while recorder.written.stopped is None:
        recorder.frame("primary", noise, float(number))
        number += 1
        time.sleep(0.002)
    recorder.step(random_step(np.random.default_rng(0), 0))  # the arm goes on
    written = recorder.close("success")
    assert written.stopped is not None
    assert "GB free" in written.stopped
    assert written.dropped["steps.bin"] == 1
    recording = open_recording(tmp_path / "r")
    assert recording.events[-1].kind == "full"
    assert recording.events[-1].text == written.stopped
    frames = recording.frames["primary"]
    assert len(frames) == written.counts["frames_primary.bin"] > 0
    assert len(frames) + written.dropped["frames_primary.bin"] == number
    np.testing.assert_array_equal(frames[len(frames) - 1], noise)


def test_a_full_disk_ends_the_recording_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a file that may not become larger, where no disk can be mounted."""
    monkeypatch.setattr(recorder_module, "RESERVE_BYTES", 0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal_before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with small_disk(tmp_path) as (folder, _):
        if os.statvfs(folder).f_blocks * os.statvfs(folder).f_frsize > 1e8:
            resource.setrlimit(resource.RLIMIT_FSIZE, (8_000_000, before[1]))
        recorder = Recorder(folder / "r", header(lossless=True))
        noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
        for number in range(30):
            recorder.frame("primary", noise, float(number))
        written = recorder.close()
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, signal_before)
        assert "No space left" in str(written.stopped) or "too large" in str(written.stopped)
        recording = open_recording(folder / "r")
        assert len(recording.frames["primary"]) == written.counts["frames_primary.bin"] > 0
        assert written.counts["frames_primary.bin"] + written.dropped["frames_primary.bin"] == 30


def test_a_folder_in_use_is_refused(whole: Path) -> None:
    with pytest.raises(RecordingError, match="not empty"):
        Recorder(whole, header())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda header: header.update(schema_version=2), "schema version 2"),
        (lambda header: header.pop("schema_version"), "schema version None"),
        (lambda header: header.update(surprise=1), "surprise"),
        (lambda header: header.pop("arm"), "arm"),
    ],
)
def test_another_schema_is_refused(
    whole: Path, tmp_path: Path, change: Callable[[dict], object], said: str
) -> None:
    content = json.loads((whole / "header.json").read_text())
    change(content)
    (tmp_path / "header.json").write_text(json.dumps(content))
    with pytest.raises(RecordingError, match=said):
        open_recording(tmp_path)


def test_whole_records_of_something_else_are_refused(whole: Path, tmp_path: Path) -> None:
    (tmp_path / "header.json").write_bytes((whole / "header.json").read_bytes())
    (tmp_path / "steps.bin").write_bytes(packed(b"\x81\xa1a\x01"))
    with pytest.raises(RecordingError, match="cannot be used"):
        open_recording(tmp_path)
    (tmp_path / "steps.bin").unlink()
    (tmp_path / "reports.bin").write_bytes(b"x" * REPORT.itemsize)
    with pytest.raises(RecordingError, match="magic"):
        open_recording(tmp_path)


def test_no_recording_there(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="header.json"):
        open_recording(tmp_path)


def test_reports_of_version_1_are_read_as_they_were(tmp_path: Path) -> None:
    """They did not say when a goal left, and nothing else has changed; cut off, the whole ones."""
    recording, _ = made(tmp_path / "new")
    reports = np.array(recording.reports)
    old = np.zeros(
        len(reports), [(n, reports.dtype[n]) for n in reports.dtype.names if n != "sent_ns"]
    )
    for name in old.dtype.names or ():
        old[name] = reports[name]
    old["version"] = 1
    assert old.dtype.itemsize == 602
    (tmp_path / "new/reports.bin").write_bytes(old.tobytes() + b"half of one")
    found = open_recording(tmp_path / "new")
    reports["sent_ns"] = 0
    assert found.reports.tobytes() == reports.tobytes()
    assert found.lost_bytes == {"reports.bin": 11}
