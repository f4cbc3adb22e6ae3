"""Pipelines in a real `gst-launch-1.0`, where there is one."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from cameras.sources import specification, wait_for
from dreamvla_edge.runtime.cameras import Camera, CameraSource, open_camera
from dreamvla_edge.runtime.cameras.gstreamer import PROGRAM
from dreamvla_edge.runtime.errors import ObservationError

needs_gstreamer = pytest.mark.skipif(
    shutil.which(PROGRAM) is None, reason="needs gstreamer1.0-tools and -plugins-base"
)
BARS = "videotestsrc is-live=true pattern=smpte"
# SMPTE's seven bars are white, yellow, cyan, green, magenta, red, blue.
COLOURS = [(1, 1, 1), (1, 1, 0), (0, 1, 1), (0, 1, 0), (1, 0, 1), (1, 0, 0), (0, 0, 1)]


def piped(device: str, height: int = 47, width: int = 70) -> Camera:
    """A width of 70 pixels is 210 bytes, which GStreamer pads to 212."""
    return open_camera(CameraSource(kind="gstreamer", device=device), specification(height, width))


def launched() -> set[str]:
    """Processes of GStreamer that this one has started."""
    found = set()
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{process}/stat") as file:
                name, fields = file.read().rsplit(")", 1)
        except OSError:
            continue
        if PROGRAM[:15] in name and int(fields.split()[1]) == os.getpid():
            found.add(process)
    return found


@needs_gstreamer
def test_frames_are_rgb_at_the_pipeline_rate() -> None:
    """Seven known colours from left to right; stamps a period apart and never in the future."""
    camera = piped(f"{BARS} ! video/x-raw,width=70,height=47,framerate=30/1")
    frames = []
    for _ in range(10):
        frames.append(camera.read())
        assert frames[-1].stamp_s <= time.monotonic()
    camera.close()
    for frame in frames:
        assert frame.image.shape == (47, 70, 3)
        assert ((frame.image[5, 5::10] > 127) == np.array(COLOURS, bool)).all()
    period_s = np.diff([frame.stamp_s for frame in frames])
    assert (period_s > 0).all()
    assert period_s.mean() > 0.9 / 30


@needs_gstreamer
def test_its_process_ends_with_the_camera() -> None:
    """Nothing stays behind."""
    camera = piped(f"{BARS} ! video/x-raw,width=70,height=47")
    assert len(launched()) == 1
    camera.close()
    assert launched() == set()


@needs_gstreamer
def test_a_slow_reader_gets_new_frames() -> None:
    """The queue drops old ones: after a pause only what is in the pipe can be old."""
    camera = piped(f"{BARS} ! video/x-raw,width=640,height=480,framerate=30/1", 480, 640)
    camera.read()
    time.sleep(1.0)
    waits_s = []
    for _ in range(12):
        before = time.monotonic()
        camera.read()
        waits_s.append(time.monotonic() - before)
    camera.close()
    # Thirty frames were made meanwhile. One may be in the pipe, one in the sink, one in the queue.
    assert sum(wait_s < 0.01 for wait_s in waits_s) < 6


@needs_gstreamer
@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("nosuchsrc", "nosuchsrc"),
        (f"{BARS} ! video/x-raw,width=64,height=47", "has ended"),
        ("videotestsrc num-buffers=0", "has ended"),
        (f"{BARS} ! ! x", "has ended"),
    ],
)
def test_a_pipeline_that_does_not_work(device: str, message: str) -> None:
    """Its own words are in the error, and it leaves no process."""
    with pytest.raises(ObservationError, match=message):
        piped(device)
    assert launched() == set()


@needs_gstreamer
def test_a_pipeline_that_dies() -> None:
    """Its process killed, as a camera daemon's crash ends it."""
    camera = piped(f"{BARS} ! video/x-raw,width=70,height=47")
    (process,) = launched()
    os.kill(int(process), 9)

    def gone() -> bool:
        try:
            camera.read()
        except ObservationError:
            return True
        return False

    assert wait_for(gone)
    camera.close()


def test_a_pipeline_is_asked_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By SIGINT, at which GStreamer stops cleanly, also while it gives nothing."""
    program, ended = tmp_path / PROGRAM, tmp_path / "ended"
    program.write_text(
        "#!/bin/bash\n"
        f"trap 'touch {ended}; exit' INT\n"
        """pipe=$(printf '%s\\n' "$@" | sed -n 's/^fd=//p')\n"""
        f"head -c {47 * 212} /dev/zero >&$pipe\n"
        "while true; do sleep 0.02; done\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    camera = piped(BARS)
    camera.close()
    assert ended.exists()


def test_without_gstreamer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package to install is named."""
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ObservationError, match="apt-get install gstreamer1.0-tools"):
        piped(BARS)
