"""Recorded frames as a camera."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cameras.sources import picture, specification
from dreamvla_edge.runtime.cameras import Camera, CameraSource, open_camera
from dreamvla_edge.runtime.errors import ObservationError

FRAMES = np.stack([picture(seed=seed) for seed in range(4)])


def played(device: Path, role: str = "primary", **fields: Any) -> Camera:
    """The camera that plays a file, fast."""
    fields = {"fps": 200.0, **fields}
    return open_camera(
        CameraSource(kind="file", device=str(device), **fields), specification(role=role)
    )


def folder_of(path: Path) -> Path:
    """The frames as PNGs, between other files."""
    path.mkdir()
    for i, frame in enumerate(FRAMES):
        Image.fromarray(frame).save(path / f"{i:03}.png")
    (path / "notes.txt").write_text("not a picture")
    return path


def archive_of(path: Path) -> Path:
    """The frames in an archive of one array."""
    np.savez(path, frames=FRAMES)
    return path


@pytest.fixture(params=["folder", "archive"])
def recording(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The same frames in each lossless form."""
    if request.param == "folder":
        return folder_of(tmp_path / "folder")
    return archive_of(tmp_path / "frames.npz")


def images(camera: Camera, count: int) -> list[NDArray[np.uint8]]:
    """The next frames."""
    return [camera.read().image for _ in range(count)]


def test_every_frame_is_played_in_order_and_again(recording: Path) -> None:
    """Bit for bit."""
    camera = played(recording)
    for found, expected in zip(images(camera, 10), itertools.cycle(FRAMES), strict=False):
        assert np.array_equal(found, expected)
    camera.close()


def test_it_ends_where_it_shall_not_loop(recording: Path) -> None:
    """With an error, not with a frozen picture."""
    camera = played(recording, options={"loop": False})
    assert len(images(camera, 4)) == 4
    with pytest.raises(ObservationError, match="played to its end"):
        camera.read()


def test_it_is_played_at_its_rate(recording: Path) -> None:
    """Never faster; stamps are the times of playing."""
    camera = played(recording, fps=40.0)
    before = time.monotonic()
    stamps = [camera.read().stamp_s for _ in range(9)]
    assert stamps[-1] - stamps[0] >= 8 / 40 - 1 / 40
    assert before <= stamps[0] <= stamps[-1] <= time.monotonic()
    assert all(np.diff(stamps) > 0)


def test_an_archive_of_both_roles(tmp_path: Path) -> None:
    """Each camera takes its own."""
    path = tmp_path / "both.npz"
    np.savez(path, primary=FRAMES, wrist=FRAMES[::-1])
    assert np.array_equal(played(path, "wrist").read().image, FRAMES[3])
    assert np.array_equal(played(path, "primary").read().image, FRAMES[0])


def test_a_video(tmp_path: Path) -> None:
    """Motion JPEG is lossy: a few levels of 255; red is red."""
    path = tmp_path / "episode.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30.0, (64, 48))
    for frame in FRAMES:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    camera = played(path)
    for found, expected in zip(images(camera, 6), itertools.cycle(FRAMES), strict=False):
        assert np.abs(found.astype(int) - expected).mean() < 6
    camera.close()


def test_what_cannot_be_played(tmp_path: Path) -> None:
    """When it is opened, with the reason."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.npz").write_bytes(b"no archive")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(b"no picture")
    np.savez(tmp_path / "two.npz", left=FRAMES, right=FRAMES)
    np.savez(tmp_path / "float.npz", FRAMES.astype(np.float32))
    np.savez(tmp_path / "pickle.npz", np.array([{}], object))
    for name, reason in {
        "missing.mp4": "it does not exist",
        "empty": "there is no frame in it",
        "broken.npz": "pickle",
        "pictures": "cannot identify image file",
        "two.npz": "left, right, but nothing called primary",
        "float.npz": "float32",
        "pickle.npz": "Object arrays cannot be loaded",
    }.items():
        with pytest.raises(ObservationError, match=reason):
            played(tmp_path / name)


def test_frames_of_another_size(tmp_path: Path) -> None:
    """Refused, unless the robot file says their size: then they are resized."""
    path = tmp_path / "large.npz"
    np.savez(path, np.stack([picture(96, 128)]))
    with pytest.raises(ObservationError, match=r"\(96, 128, 3\)"):
        played(path).read()
    assert played(path, width=128, height=96).read().image.shape == (48, 64, 3)
