"""What is wrong with a camera, from its frames alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cameras.sources import picture
from dreamvla_edge.runtime.cameras import Frame
from dreamvla_edge.runtime.cameras.health import (
    GOOD,
    Limits,
    Stream,
    Verdict,
    follow,
    judge,
    judge_skew,
    look,
)

FPS = 30.0
PERIOD_S = 1 / FPS
LIMITS = Limits.at_rate(FPS)
SIZE = (48, 64)
"""Of `picture`."""


def verdict(frames: list[Frame], late_s: float = 0.001, arm_moves: bool = True) -> Verdict:
    """On a stream of frames, late_s after the last one."""
    stream: Stream | None = None
    for frame in frames:
        stream = follow(stream, look(frame), arm_moves)
    return judge(stream, SIZE, frames[-1].stamp_s + late_s, LIMITS)


def filmed(count: int = 10, still: bool = False) -> list[Frame]:
    """Frames at the rate; of one picture if it is still."""
    return [Frame(picture(seed=0 if still else i), i * PERIOD_S) for i in range(count)]


def test_a_living_camera_is_good() -> None:
    """Also when its newest frame is almost three periods old."""
    assert verdict(filmed()) == GOOD
    assert verdict(filmed(), late_s=2.9 * PERIOD_S) == GOOD


def test_before_the_first_frame() -> None:
    """Nothing can be acted upon."""
    assert judge(None, SIZE, 0.0, LIMITS).condition == "stale"


def test_stale_after_three_periods() -> None:
    """The reason says the age and what is allowed."""
    found = verdict(filmed(), late_s=3.1 * PERIOD_S)
    assert found.condition == "stale"
    assert found.reason == "the newest frame is 103 ms old, 100 ms are allowed"


@pytest.mark.parametrize("stamp_s", [float("nan"), float("inf"), -float("inf"), 1e9])
def test_a_stamp_that_is_no_time_or_of_another_clock_is_stale(stamp_s: float) -> None:
    """It compares as false with every limit, and is not taken for new."""
    stream = follow(None, look(Frame(picture(), stamp_s)), True)
    assert judge(stream, SIZE, 100.0, LIMITS).condition == "stale"


def test_frozen_after_three_periods_of_motion() -> None:
    """New stamps on the same bytes; not a period earlier."""
    assert verdict(filmed(3, still=True)).good
    assert verdict(filmed(5, still=True)).condition == "frozen"


def test_at_rest_the_picture_may_stay_the_same() -> None:
    """And the time before the motion does not count."""
    still = filmed(100, still=True)
    assert verdict(still, arm_moves=False).good
    stream: Stream | None = None
    for i, frame in enumerate(still):
        stream = follow(stream, look(frame), arm_moves=i >= 98)
    assert judge(stream, SIZE, still[-1].stamp_s, LIMITS).good


def test_frozen_stays_frozen_at_rest() -> None:
    """An arm that was held because of it must not go on because it is held."""
    frames = filmed(30, still=True)
    stream: Stream | None = None
    for i, frame in enumerate(frames):
        stream = follow(stream, look(frame), arm_moves=i < 5)
    now_s = frames[-1].stamp_s
    assert judge(stream, SIZE, now_s, LIMITS).condition == "frozen"
    alive = follow(stream, look(Frame(picture(seed=1), now_s + PERIOD_S)), arm_moves=False)
    assert judge(alive, SIZE, now_s + PERIOD_S, LIMITS).good


def test_one_bit_is_a_change() -> None:
    """A sensor's noise changes more."""
    frames = filmed(10, still=True)
    for frame in frames[::2]:
        frame.image[7, 7, 1] ^= 1
    assert verdict(frames).good


@pytest.mark.parametrize("level", [0, 3, 8])
def test_dark(level: int) -> None:
    """A covered lens, with the noise of its sensor."""
    noise = np.random.default_rng(0).integers(0, 4, (10, *SIZE, 3), np.uint8)
    frames = [Frame(image + np.uint8(level), i * PERIOD_S) for i, image in enumerate(noise)]
    assert verdict(frames).condition == "dark"


def test_a_dim_scene_is_not_dark() -> None:
    """It has contrast, or brightness."""
    for change in (lambda image: image // 5, lambda image: image // 32 + 20):
        frames = [replace(frame, image=change(frame.image)) for frame in filmed()]
        assert verdict(frames).good


def test_noise() -> None:
    """Random pixels; the same pixels as a scene with noise on it are none."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (10, *SIZE, 3), np.uint8)
    assert (
        verdict([Frame(image, i * PERIOD_S) for i, image in enumerate(noise)]).condition == "noise"
    )
    grainy = [
        Frame((frame.image // 2 + image // 8).astype(np.uint8), frame.stamp_s)
        for frame, image in zip(filmed(), noise, strict=True)
    ]
    assert verdict(grainy).good


@pytest.mark.parametrize(
    "image",
    [
        picture(47, 64),
        picture()[:, :, :1],
        picture()[:, :, 0],
        picture().astype(np.float32),
        np.zeros((0, 0, 3), np.uint8),
        np.zeros((48, 64, 4), np.uint8),
        None,
        "a frame",
        [[1, 2], [3]],
    ],
    ids=lambda image: str(getattr(image, "shape", image)),
)
def test_whatever_is_no_frame_has_the_wrong_size(image: Any) -> None:
    """And raises nothing."""
    assert verdict([Frame(image, 1.0)]).condition == "wrong_size"


@given(
    arrays.arrays(
        st.sampled_from([np.uint8, np.float64, np.int16, np.bool_]),
        arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    ),
    st.floats(),
    st.floats(),
    st.booleans(),
)
def test_nothing_raises(image: Any, stamp_s: float, now_s: float, arm_moves: bool) -> None:
    """Whatever the frame and whatever the time."""
    stream = follow(None, look(Frame(image, stamp_s)), arm_moves)
    stream = follow(stream, look(Frame(image, now_s)), arm_moves)
    assert isinstance(judge(stream, (5, 5), now_s, LIMITS), Verdict)
    assert judge_skew(stamp_s, now_s, LIMITS).condition in ("good", "skewed")


def test_skew() -> None:
    """Two periods are allowed; NaN is not."""
    assert judge_skew(1.0, 1.0 + 1.9 * PERIOD_S, LIMITS).good
    assert judge_skew(1.0 + 2.1 * PERIOD_S, 1.0, LIMITS).condition == "skewed"
    assert judge_skew(float("nan"), 1.0, LIMITS).condition == "skewed"
