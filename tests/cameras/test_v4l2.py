"""OpenCV's own V4L2 code against the kernel's structs, with a library in place of the driver."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from cameras.preloaded import AVAILABLE, PreloadedDevice
from cameras.sources import specification
from dreamvla_edge.runtime.cameras import CameraSource, open_camera
from dreamvla_edge.runtime.cameras.v4l2_devices import devices
from dreamvla_edge.runtime.errors import ObservationError

needs_library = pytest.mark.skipif(not AVAILABLE, reason="needs cc and the kernel's headers")

BEGIN = """
import json, time
from cameras.sources import specification
from dreamvla_edge.runtime.cameras import CameraSource, open_camera
from dreamvla_edge.runtime.errors import ObservationError

def opened(height=480, width=640, **fields):
    source = CameraSource(kind="v4l2", device=str(node), **fields)
    return open_camera(source, specification(height, width))
"""
RED = np.full((480, 640, 3), (200, 40, 10), np.uint8)


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> PreloadedDevice:
    """One library for all tests."""
    return PreloadedDevice(tmp_path_factory.mktemp("v4l2"))


def printed(device: PreloadedDevice, code: str, **environment: str) -> dict[str, object]:
    """The JSON that the code prints as its last line."""
    device.show(RED)
    done = device.run(BEGIN + code, **environment)
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found | {"stderr": done.stderr}


@needs_library
def test_frames_carry_the_time_of_their_capture(device: PreloadedDevice) -> None:
    """RGB; stamped 20 ms before they were ready, as the driver says, a period apart."""
    found = printed(
        device,
        "camera = opened()\n"
        "frames = [(camera.read(), time.monotonic()) for _ in range(8)]\n"
        "camera.close()\n"
        "print(json.dumps({'stamps': [f.stamp_s for f, _ in frames],\n"
        "    'ages': [now - f.stamp_s for f, now in frames],\n"
        "    'shape': frames[0][0].image.shape, 'pixel': frames[7][0].image[9, 9].tolist()}))",
    )
    assert found["shape"] == [480, 640, 3]
    assert np.abs(np.array(found["pixel"]) - RED[9, 9]).max() <= 2
    assert min(found["ages"]) >= 0.02  # type: ignore[call-overload]
    assert np.median(np.diff(found["stamps"])) == pytest.approx(1 / 30, rel=0.2)  # type: ignore[call-overload]


@needs_library
def test_stamps_of_another_clock_are_replaced_by_the_arrival(device: PreloadedDevice) -> None:
    """Some drivers stamp with the time of day: decades away from the monotonic clock."""
    found = printed(
        device,
        "camera = opened()\n"
        "before = time.monotonic()\n"
        "stamps = [camera.read().stamp_s for _ in range(4)]\n"
        "print(json.dumps({'good': before <= stamps[0] <= stamps[-1] <= time.monotonic()}))",
        V4L2_CLOCK="realtime",
    )
    assert found["good"] is True


@needs_library
def test_a_stalled_camera_is_an_error_after_a_second(device: PreloadedDevice) -> None:
    """Not after OpenCV's ten; and it goes on when frames come again."""
    found = printed(
        device,
        "camera = opened()\n"
        "picture = scene.read_bytes()\n"
        "scene.write_bytes(b'')\n"
        "begin = time.monotonic()\n"
        "try:\n"
        "    while True: camera.read()\n"
        "except ObservationError as error:\n"
        "    found = error.found\n"
        "lasted = time.monotonic() - begin\n"
        "scene.write_bytes(picture)\n"
        "shape = camera.read().image.shape\n"
        "print(json.dumps({'found': found, 'lasted': lasted, 'shape': shape}))",
    )
    assert str(found["found"]).endswith("gives no frame")
    assert 0.9 < float(str(found["lasted"])) < 5
    assert found["shape"] == [480, 640, 3]


@needs_library
@pytest.mark.parametrize("damage", ["b'no picture' * 99", "picture[:len(picture) // 2]"])
def test_a_damaged_picture_is_left_out(device: PreloadedDevice, damage: str) -> None:
    """An error, where OpenCV would show the picture before once more; then it goes on."""
    found = printed(
        device,
        "camera = opened()\n"
        "picture = scene.read_bytes()\n"
        f"scene.write_bytes({damage})\n"
        "try:\n"
        "    for _ in range(9): camera.read()\n"
        "except ObservationError as error:\n"
        "    found = error.found\n"
        "scene.write_bytes(picture)\n"
        "print(json.dumps({'found': found, 'shape': camera.read().image.shape}))",
    )
    assert str(found["found"]).endswith("gives no frame")
    assert found["stderr"] == ""


@needs_library
def test_an_uncompressed_format(device: PreloadedDevice) -> None:
    """Whatever lies in the buffer comes out as a picture of the right shape."""
    found = printed(
        device,
        "camera = opened(options={'fourcc': 'YUYV'})\n"
        "print(json.dumps({'shape': camera.read().image.shape}))",
    )
    assert found["shape"] == [480, 640, 3]


@needs_library
def test_options_reach_the_camera(device: PreloadedDevice) -> None:
    """The library says what was set."""
    found = printed(device, "opened(options={'gain': 7}); print('{}')")
    assert "gain 7\n" in str(found["stderr"])


@needs_library
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("200, 200", "MJPG 320 x 240 at 60 frames"),
        ("fps=25", "MJPG 640 x 480 at 30 frames"),
        ("options={'fourcc': 'H264'}", "YUYV 640 x 480 at 30 frames"),
        ("options={'zoom': 3}", "zoom = 3"),
        ("options={'speed': 3}", "option speed"),
    ],
)
def test_what_the_camera_cannot_do_is_refused(
    device: PreloadedDevice, fields: str, message: str
) -> None:
    """With what it does instead. Nothing else is printed."""
    found = printed(
        device,
        f"try:\n    opened({fields})\n"
        "except ObservationError as error:\n    print(json.dumps({'found': error.found}))",
    )
    assert message in str(found["found"])
    assert found["stderr"] == ""


@needs_library
def test_the_modes_of_a_camera(device: PreloadedDevice) -> None:
    """By the path of its socket, with sizes and rates of the library's table."""
    by_path = device.node.parent / "v4l" / "by-path"
    by_path.mkdir(parents=True, exist_ok=True)
    link = by_path / "pci-usb-0:1:1.0-video-index0"
    link.unlink(missing_ok=True)
    link.symlink_to(device.node)
    code = (
        "from dataclasses import asdict\n"
        "from dreamvla_edge.runtime.cameras.v4l2_devices import devices\n"
        "print(json.dumps({'found': [asdict(d) for d in devices(node.parent)]}))"
    )
    assert printed(device, code)["found"] == [
        {
            "path": str(link),
            "node": str(device.node),
            "card": "Preloaded Camera",
            "modes": [
                {"fourcc": "MJPG", "width": 640, "height": 480, "fps": [30, 15]},
                {"fourcc": "MJPG", "width": 320, "height": 240, "fps": [60]},
                {"fourcc": "YUYV", "width": 640, "height": 480, "fps": [30]},
            ],
            "problem": "",
        }
    ]
    assert printed(device, code, V4L2_METADATA="1")["found"] == []


def test_a_machine_without_cameras(tmp_path: Path) -> None:
    """A file that is called like a camera is none."""
    assert devices(tmp_path) == []
    (tmp_path / "video0").touch()
    assert devices(tmp_path) == []


def test_a_device_that_is_missing_or_none(tmp_path: Path) -> None:
    """Two errors."""
    for name, message in {"gone": "there is no", "file": "cannot be opened as a camera"}.items():
        (tmp_path / "file").touch()
        with pytest.raises(ObservationError, match=message):
            open_camera(
                CameraSource(kind="v4l2", device=str(tmp_path / name)), specification(480, 640)
            )
