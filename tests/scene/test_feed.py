"""A scene on the wall clock: what its feed and its cameras show other processes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from dreamvla_edge.runtime.arms import connect
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.cameras import CameraSource, open_camera
from dreamvla_edge.runtime.errors import ObservationError
from dreamvla_edge.sim.bus_process import BusProcess
from dreamvla_edge.sim.demo import SPECIFICATION
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.scene.views import Views
from dreamvla_edge.sim.scene_feed import Now, SceneReader, SceneWriter
from dreamvla_edge.sim.tasks import FAMILIES, draw

TASK = ("push", 500_011)
HELD, SUNK_RAD, PATIENT_S = 0.02, 0.1, 20.0  # held: the arm gives way, blocks settle [rad or m]


@pytest.fixture
def feed(tmp_path: Path) -> Path:
    """Where it is written."""
    return tmp_path / "scene"


@pytest.fixture
def bus(feed: Path, tmp_path: Path) -> Iterator[BusProcess]:
    """A virtual arm on a table."""
    with BusProcess("so101", link=tmp_path / "arm", scene=TASK, feed=feed) as process:
        yield process


def test_what_is_written_is_read(feed: Path) -> None:
    """The newest moment, family and seed."""
    writer = SceneWriter(feed, *TASK, 5)
    reader = SceneReader(feed)
    with pytest.raises(ObservationError, match="says nothing"):
        reader.read()
    for moment in range(1, 4):
        writer.write(Now(moment, np.arange(5) * moment / 7))
        now = reader.read()
        assert now.stamp_s == moment
        np.testing.assert_array_equal(now.qpos, np.arange(5) * moment / 7)
    assert (reader.family, reader.seed) == TASK


def test_a_torn_reading_is_no_reading(feed: Path) -> None:
    """One byte of the last number is old."""
    writer = SceneWriter(feed, *TASK, 5)
    writer.write(Now(1.0, np.ones(5)))
    content = bytearray(feed.read_bytes())
    content[-1] ^= 1
    with feed.open("r+b") as file:
        file.write(content)
    with pytest.raises(ObservationError, match="says nothing"):
        SceneReader(feed).read()


@pytest.mark.parametrize("content", [b"", b"something else", b"DVLASCN1" + b"\0" * 60])
def test_what_is_no_feed(feed: Path, content: bytes) -> None:
    """It says what it found."""
    feed.write_bytes(content)
    with pytest.raises(ObservationError, match="cannot be read as a scene"):
        SceneReader(feed)
    with pytest.raises(ObservationError, match="cannot be read as a scene"):
        SceneReader(feed.with_name("nothing"))


def test_cameras_show_the_scene_of_the_bus(bus: BusProcess, feed: Path, scene: Scene) -> None:
    """Pixel by pixel what is drawn here of the same moment; then the shoulder is turned."""
    scene.reset(draw(FAMILIES[TASK[0]], TASK[1], 5).layout)
    begin = scene.data.qpos.copy()
    reader = SceneReader(feed)
    now = reader.read()
    assert now.stamp_s <= time.monotonic() < now.stamp_s + 1
    np.testing.assert_array_equal(now.qpos, begin)
    cameras = [
        open_camera(CameraSource("scene", device=str(feed), fps=50), specification)
        for specification in SPECIFICATION.cameras
    ]
    with Views(scene, 96) as views:
        for camera, role in zip(cameras, ("primary", "wrist"), strict=True):
            # Between both readings the scene may have moved on: then once more.
            for _ in range(20):
                frame = camera.read()
                now = reader.read()
                scene.show(now.qpos)
                if now.stamp_s == frame.stamp_s:
                    break
            assert now.stamp_s == frame.stamp_s
            np.testing.assert_array_equal(frame.image, views.image(role))
    later = reader.read().stamp_s
    time.sleep(0.1)
    assert reader.read().stamp_s > later
    bus.process.kill()
    bus.process.wait()
    frozen = cameras[0].read()
    assert cameras[0].read().stamp_s == frozen.stamp_s
    for camera in cameras:
        camera.close()


def test_the_arm_is_held_until_its_servos_hold_it(bus: BusProcess, feed: Path) -> None:
    """However late a policy starts, it finds the arm at its rest; torque that ends lets it sink."""
    reader, description = SceneReader(feed), load_description("so101")
    begin = reader.read().qpos
    time.sleep(0.5)
    np.testing.assert_array_equal(reader.read().qpos, begin)
    with closing(connect(description, bus.port, latency_s=5.0)) as arm:
        arm.identify()
        assert not any(servo.load for servo in arm.read().servos)
        arm.enable()
        time.sleep(0.5)
        assert 0 < np.abs(reader.read().qpos - begin).max() < HELD
        arm.release()
    deadline_s = time.monotonic() + PATIENT_S
    while np.abs(reader.read().qpos - begin).max() < SUNK_RAD:
        assert time.monotonic() < deadline_s


def test_a_frame_that_is_not_square(feed: Path) -> None:
    """A scene has no other."""
    SceneWriter(feed, *TASK, 5).write(Now(1.0, np.ones(5)))
    source = CameraSource("scene", device=str(feed), width=64, height=48)
    with pytest.raises(ObservationError, match="48 x 64"):
        open_camera(source, SPECIFICATION.cameras[0])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--scene", "push:3"), "belong together"),
        (("--feed", "feed"), "belong together"),
        (("--scene", "sing:3", "--feed", "feed"), "no family of tasks is called 'sing'"),
        (("--scene", "push", "--feed", "feed"), "invalid"),
    ],
)
def test_a_bus_that_cannot_be(arguments: tuple[str, ...], said: str) -> None:
    """It says why, and what there is."""
    command = [sys.executable, "-m", "dreamvla_edge.sim.bus_process", "--arm", "so101", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 2 and said in done.stderr
