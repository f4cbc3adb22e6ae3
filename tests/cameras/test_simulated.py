"""Simulated cameras."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray

from dreamvla_edge.runtime.cameras import CameraSource, open_camera
from dreamvla_edge.runtime.errors import ObservationError
from dreamvla_edge.runtime.specification import CameraSpecification
from dreamvla_edge.sim.camera import SimulatedCamera
from motion.specifications import CAMERAS


@pytest.mark.parametrize("specification", CAMERAS, ids=["primary", "wrist"])
def test_a_frame_has_the_size_asked_for_and_a_time(specification: CameraSpecification) -> None:
    """RGB bytes, stamped between before and after."""
    before = time.monotonic()
    frame = open_camera(CameraSource(kind="simulated"), specification).read()
    assert before <= frame.stamp_s <= time.monotonic()
    assert frame.image.dtype == np.uint8
    assert frame.image.shape == (specification.height, specification.width, 3)


def test_the_same_seed_gives_the_same_frames() -> None:
    """Another seed gives others; and things move."""
    first, same, other = (SimulatedCamera(CAMERAS[0], seed) for seed in (3, 3, 4))
    frames = [first.read().image for _ in range(20)]
    assert all(np.array_equal(frame, same.read().image) for frame in frames)
    assert not all(np.array_equal(frame, other.read().image) for frame in frames)
    assert len({frame.tobytes() for frame in frames}) > 10


def scene(image: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The picture without its noise of up to two levels: no colour is that near a step of these."""
    return (image.astype(np.int64) + 4) // 8


def test_no_two_pictures_are_equal() -> None:
    """The noise of a sensor, though nothing moves behind a lens cap and the wrist sees no block."""
    for specification in CAMERAS:
        for black in (False, True):
            camera = SimulatedCamera(specification, black=black)
            assert len({camera.read().image.tobytes() for _ in range(50)}) == 50


def test_blocks_are_seen_and_stay_on_the_table() -> None:
    """Four colours beside the table's, in every one of 150 frames, unless one covers another."""
    camera = SimulatedCamera(CAMERAS[0])
    pictures = (scene(camera.read().image) for _ in range(150))
    counts = [len(np.unique(picture.reshape(-1, 3), axis=0)) for picture in pictures]
    assert max(counts) == 5
    assert min(counts) >= 3


def test_both_cameras_see_one_table() -> None:
    """The wrist view is the middle third of the primary view."""
    large = CameraSpecification(role="primary", height=96, width=96)
    part = CameraSpecification(role="wrist", height=32, width=32)
    primary, wrist = SimulatedCamera(large, seed=1), SimulatedCamera(part, seed=1)
    for _ in range(50):
        whole, middle = scene(primary.read().image), scene(wrist.read().image)
        assert np.array_equal(whole[32:64, 32:64], middle)


def test_a_lens_cap() -> None:
    """Black but for the noise, of the right size."""
    frame = SimulatedCamera(CAMERAS[1], black=True).read()
    assert frame.image.shape == (32, 32, 3)
    assert not scene(frame.image).any()


def test_a_robot_file_gives_it_a_rate_and_a_seed() -> None:
    """No frame comes before it is due, however late others came, and the options arrive."""
    begin_s = time.monotonic()
    source = CameraSource(kind="simulated", fps=50, options={"seed": 4})
    camera, same = open_camera(source, CAMERAS[0]), SimulatedCamera(CAMERAS[0], seed=4)
    frames = [camera.read() for _ in range(6)]
    assert all(np.array_equal(frame.image, same.read().image) for frame in frames)
    for number, frame in enumerate(frames):
        assert frame.stamp_s - begin_s >= number / 50 - 1e-6  # of rounding


def test_an_unknown_option_is_refused() -> None:
    """A misspelt one would be ignored otherwise."""
    source = CameraSource(kind="simulated", options={"sead": 4})
    with pytest.raises(ObservationError, match="sead"):
        open_camera(source, CAMERAS[0])
