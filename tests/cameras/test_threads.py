"""Cameras in threads: rings, pairs, reopening, and every fault on the wall clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from cameras.sources import PERIOD_S, picture, specification, wait_for
from dreamvla_edge.runtime.cameras import Camera, CameraSource, Frame, open_camera
from dreamvla_edge.runtime.cameras.camera_pair import CameraPair
from dreamvla_edge.runtime.cameras.camera_thread import CameraThread
from dreamvla_edge.runtime.cameras.health import GOOD, Limits
from dreamvla_edge.runtime.cameras.ring import Ring
from dreamvla_edge.runtime.errors import ObservationError
from dreamvla_edge.sim.camera import SimulatedCamera
from dreamvla_edge.sim.camera_fault import CAMERA_FAULTS, FaultyCamera
from dreamvla_edge.sim.fault import FAULTS

SIZE = (48, 64)
# A busy machine may keep a thread waiting for a while, which is no fault of a camera here.
LIMITS = Limits(max_age_s=0.2, max_frozen_s=0.2, max_skew_s=0.1)


def faulty(role: str = "primary") -> FaultyCamera:
    """A simulated camera with nothing wrong yet."""
    return FaultyCamera(SimulatedCamera(specification(role=role), rate_hz=1 / PERIOD_S))


@pytest.fixture
def started() -> Iterator[Callable[[Callable[[], Camera]], CameraThread]]:
    """Starts threads that end with the test."""
    threads: list[CameraThread] = []

    def start(camera: Callable[[], Camera]) -> CameraThread:
        threads.append(CameraThread(camera, SIZE, LIMITS))
        return threads[-1]

    yield start
    for thread in threads:
        thread.close()


Start = Callable[[Callable[[], Camera]], CameraThread]


def condition(thread: CameraThread) -> str:
    """Of a thread, now."""
    return thread.verdict(time.monotonic()).condition


def test_a_ring_keeps_the_newest_in_order() -> None:
    """An old, equal or impossible stamp is left out."""
    ring = Ring(3)
    assert ring.newest() is None and ring.at(1.0) is None
    taken = [ring.push(Frame(picture(), s)) for s in (1.0, 2.0, 2.0, 1.5, float("nan"), 3.0, 4.0)]
    assert taken == [True, True, False, False, False, True, True]
    assert [frame.stamp_s for frame in ring.frames()] == [2.0, 3.0, 4.0]
    assert [getattr(ring.at(s), "stamp_s", None) for s in (1.9, 2.0, 3.9, 99.0)] == [None, 2, 3, 4]


def test_nobody_can_change_a_shared_frame() -> None:
    """The policy, the recorder and the judge see the same bytes."""
    ring = Ring(3)
    ring.push(Frame(picture(), 1.0))
    frame = ring.newest()
    assert frame is not None
    with pytest.raises(ValueError, match="read-only"):
        frame.image[0, 0] = 1


def test_a_thread_reads_all_frames(started: Start) -> None:
    """In order, each once, as the camera itself gives them; it is good while it runs."""
    thread = started(lambda: SimulatedCamera(specification(), rate_hz=1 / PERIOD_S))
    assert wait_for(lambda: len(thread.ring.frames()) >= 10)
    assert thread.verdict(time.monotonic()) == GOOD
    alone = SimulatedCamera(specification())
    for frame in thread.ring.frames():
        assert np.array_equal(frame.image, alone.read().image)


def test_a_camera_that_cannot_be_opened_is_an_error_at_the_start() -> None:
    """And no thread stays."""
    before = threading.active_count()

    def missing() -> Camera:
        raise ObservationError("no camera", "one", "plug it in")

    with pytest.raises(ObservationError, match="plug it in"):
        CameraThread(missing, SIZE, LIMITS)
    assert threading.active_count() == before


def test_a_camera_that_failed_is_opened_again(started: Start) -> None:
    """Whatever it raised; until then the verdict says what it said."""
    opened: list[FaultyCamera] = []

    def again() -> Camera:
        opened.append(faulty())
        return opened[-1]

    thread = started(again)
    assert wait_for(lambda: condition(thread) == "good")
    opened[0].fault = "off"
    assert wait_for(lambda: len(opened) > 1 and condition(thread) == "good")

    def broken() -> Frame:
        raise RuntimeError("a defect of a driver")

    opened[-1].read = broken  # type: ignore[method-assign]
    count = len(opened)
    assert wait_for(lambda: len(opened) > count and condition(thread) == "good")


def test_a_recording_that_ends_is_not_played_again(tmp_path: Path, started: Start) -> None:
    """Its last frame grows old, and the verdict says why."""
    path = tmp_path / "frames.npz"
    np.savez(path, np.stack([picture(seed=seed) for seed in range(5)]))
    source = CameraSource(kind="file", device=str(path), fps=50, options={"loop": False})
    thread = started(lambda: open_camera(source, specification()))
    assert wait_for(lambda: condition(thread) == "stale" and len(thread.ring.frames()) == 5)
    time.sleep(0.5)  # a camera that failed would be open again
    assert len(thread.ring.frames()) == 5
    assert thread.verdict(time.monotonic()).reason.endswith("has been played to its end")


def test_its_own_error_is_in_the_verdict(started: Start) -> None:
    """A person sees why there is no frame."""
    camera = faulty()
    thread = started(lambda: camera)
    assert wait_for(lambda: condition(thread) == "good")
    camera.fault = "off"
    assert wait_for(lambda: condition(thread) == "stale")
    assert thread.verdict(time.monotonic()).reason.endswith("the simulated camera is off")


def test_the_words_are_those_of_the_servos() -> None:
    """One vocabulary for every part."""
    assert set(CAMERA_FAULTS) <= set(FAULTS)
    assert len(CAMERA_FAULTS) == 7
    with pytest.raises(ValueError, match="tired"):
        faulty().fault = "tired"


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("off", "stale"),
        ("stuck", "frozen"),
        ("garbage", "noise"),
        ("wrong", "wrong_size"),
        ("slow", "stale"),
        ("delayed", "stale"),
        ("intermittent", "stale"),
    ],
)
def test_every_fault_is_seen_and_passes(fault: str, expected: str) -> None:
    """At eight frames of fifty a second, sixteen late or ten missing: beyond three periods."""
    camera = faulty()
    thread = CameraThread(lambda: camera, SIZE, Limits.at_rate(1 / PERIOD_S))
    try:
        thread.arm_moves = True
        assert wait_for(lambda: condition(thread) == "good")
        camera.fault = fault
        assert wait_for(lambda: condition(thread) == expected)
        camera.fault = None
        assert wait_for(lambda: condition(thread) == "good")
        sizes = {frame.image.shape for frame in thread.ring.frames()}
        assert sizes == {(*SIZE, 3)}  # what has the wrong size never reaches the policy
    finally:
        thread.close()


def test_a_frozen_picture_is_no_fault_at_rest(started: Start) -> None:
    """Only motion makes it one."""
    camera = faulty()
    thread = started(lambda: camera)
    camera.fault = "stuck"
    end_s = time.monotonic() + 3 * LIMITS.max_frozen_s
    while time.monotonic() < end_s:
        assert condition(thread) != "frozen"
        time.sleep(0.01)
    thread.arm_moves = True
    assert wait_for(lambda: condition(thread) == "frozen")


def test_a_pair(started: Start) -> None:
    """Sights of the past at given times, the newest, and the verdict with the role."""
    primary, wrist = faulty(), faulty("wrist")
    pair = CameraPair(started(lambda: primary), started(lambda: wrist), LIMITS)
    assert wait_for(lambda: min(len(c.ring.frames()) for c in (pair.primary, pair.wrist)) > 20)
    now_s = time.monotonic()
    times_s = [now_s - n * PERIOD_S for n in reversed(range(10))]
    sights = pair.sights(times_s)
    assert [sight.time_s for sight in sights] == times_s
    for sight in sights:
        assert max(sight.primary.stamp_s, sight.wrist.stamp_s) <= sight.time_s
    assert wait_for(lambda: pair.verdict(time.monotonic()).good)
    wrist.fault = "wrong"
    pair.move(True)
    assert wait_for(lambda: pair.verdict(time.monotonic()).condition == "wrong_size")
    assert pair.verdict(time.monotonic()).reason.startswith("wrist camera: a frame of shape (24,")


def test_cameras_that_show_different_moments_are_skewed() -> None:
    """One is sixteen frames late, and both are young enough by themselves."""
    limits = Limits(max_age_s=10.0, max_frozen_s=10.0, max_skew_s=0.1)
    late = faulty("wrist")
    late.fault = "delayed"
    primary = CameraThread(faulty, SIZE, limits)
    with CameraPair(primary, CameraThread(lambda: late, SIZE, limits), limits) as pair:
        assert wait_for(lambda: pair.verdict(time.monotonic()).condition == "skewed")


def test_a_robot_file_opens_both_or_none() -> None:
    """The first camera is given back if the second cannot be opened."""
    specifications = (specification(), specification(role="wrist"))
    simulated = CameraSource(kind="simulated", fps=50)
    with CameraPair.open((simulated, simulated), specifications) as pair:
        assert wait_for(lambda: pair.newest() is not None)
    before = threading.active_count()
    with pytest.raises(ObservationError, match="missing"):
        CameraPair.open((simulated, CameraSource(kind="file", device="missing")), specifications)
    assert threading.active_count() == before


def test_closing_ends_the_thread_and_gives_the_camera_back() -> None:
    """At once, also in the pause before it is opened again."""
    closed: list[bool] = []

    class Watched(FaultyCamera):
        def close(self) -> None:
            """Notes it."""
            closed.append(True)

    camera = Watched(SimulatedCamera(specification(), rate_hz=50))
    before = threading.active_count()
    thread = CameraThread(lambda: camera, SIZE, LIMITS)
    thread.close()
    assert (closed, threading.active_count()) == ([True], before)
