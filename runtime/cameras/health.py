"""Whether a camera's frames can be trusted. Pure: no clock, no device, and no exceptions."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from .camera import Frame

Condition = Literal["good", "stale", "frozen", "wrong_size", "dark", "noise", "skewed"]
_SAMPLE = 4  # brightness is judged on every fourth row and column


@dataclass(frozen=True)
class Limits:
    """What is still good.

    max_age_s: of the newest frame; max_frozen_s: for which the picture may stay the same, byte by
    byte, while the arm moves (a sensor's noise never does); max_skew_s: between both cameras.
    dark_mean, dark_spread: a picture whose mean and standard deviation are both below is dark.
    noise_spread, noise_share: a picture that varies more than noise_spread, of which at least
    noise_share is between neighbours, is noise: 1 for random pixels, below 0.3 for scenes.
    """

    max_age_s: float
    max_frozen_s: float
    max_skew_s: float
    dark_mean: float = 12.0
    dark_spread: float = 6.0
    noise_spread: float = 40.0
    noise_share: float = 0.7

    @classmethod
    def at_rate(cls, fps: float, may_be_dark: bool = False) -> Limits:
        """The usual ones: an age of three frame periods, a skew of two."""
        usual = cls(3 / fps, 3 / fps, 2 / fps)
        return replace(usual, dark_mean=0.0) if may_be_dark else usual


@dataclass(frozen=True)
class Verdict:
    """condition: the gravest one found; reason: a sentence with the numbers, empty if good."""

    condition: Condition
    reason: str = ""

    @property
    def good(self) -> bool:
        """Whether the frames may be acted upon."""
        return self.condition == "good"


GOOD = Verdict("good")


@dataclass(frozen=True)
class Look:
    """One frame in numbers. shape: () for what is no picture; the rest is 0 if it is not RGB.

    fingerprint: of all bytes; mean, spread: brightness and its standard deviation (0 to 255);
    noise_share: see Limits.
    """

    stamp_s: float
    shape: tuple[int, ...]
    fingerprint: int = 0
    mean: float = 0.0
    spread: float = 0.0
    noise_share: float = 0.0


@dataclass(frozen=True)
class Stream:
    """A camera so far: its newest frame, and since when the picture is without excuse the same.

    Rest is an excuse that delays the judgement but forgets nothing: an arm that was held because
    its camera froze must not go on because it stands.
    """

    look: Look
    same_since_s: float


def look(frame: Frame) -> Look:
    """The numbers of a frame, whatever it is."""
    image: Any = frame.image
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        return Look(frame.stamp_s, ())
    if image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        return Look(frame.stamp_s, image.shape)
    fingerprint = zlib.crc32(np.ascontiguousarray(image).data)
    part = image[::_SAMPLE, ::_SAMPLE].astype(np.float32)
    green = image[::_SAMPLE, :, 1].astype(np.float32)
    # Half the mean square of neighbours' differences is the variance if they know nothing of each
    # other (von Neumann's ratio).
    variance = float(green.var())
    between = float(np.square(np.diff(green, axis=1)).mean()) / 2 if image.shape[1] > 1 else 0.0
    share = between / variance if variance > 0 else 0.0
    return Look(
        frame.stamp_s, image.shape, fingerprint, float(part.mean()), float(part.std()), share
    )


def follow(stream: Stream | None, seen: Look, arm_moves: bool) -> Stream:
    """The stream after one more frame. A picture that stays the same is no sign at rest."""
    if stream is None or stream.look.fingerprint != seen.fingerprint:
        return Stream(seen, seen.stamp_s)
    rested_s = 0.0 if arm_moves else seen.stamp_s - stream.look.stamp_s
    return Stream(seen, stream.same_since_s + rested_s)


def judge(stream: Stream | None, size: tuple[int, int], now_s: float, limits: Limits) -> Verdict:
    """The verdict on one camera; size: (height, width) that its frames must have."""
    if stream is None:
        return Verdict("stale", "no frame has come yet")
    seen = stream.look
    age_s, same_s = now_s - seen.stamp_s, now_s - stream.same_since_s
    # So written that a stamp that is not a number is stale. The future is another clock's.
    if not -limits.max_age_s <= age_s <= limits.max_age_s:
        return Verdict(
            "stale", f"the newest frame is {_ms(age_s)} old, {_ms(limits.max_age_s)} are allowed"
        )
    if seen.shape != (*size, 3):
        return Verdict("wrong_size", f"a frame of shape {seen.shape} instead of {(*size, 3)}")
    if not same_s <= limits.max_frozen_s:
        return Verdict("frozen", f"the picture has not changed for {_ms(same_s)} of motion")
    if seen.mean < limits.dark_mean and seen.spread < limits.dark_spread:
        return Verdict("dark", f"a mean brightness of {seen.mean:.0f} of 255: is the lens covered?")
    if seen.spread > limits.noise_spread and seen.noise_share >= limits.noise_share:
        return Verdict("noise", f"{seen.noise_share:.0%} of the picture is noise")
    return GOOD


def judge_skew(primary_s: float, wrist_s: float, limits: Limits) -> Verdict:
    """The verdict on two frames that shall show one moment, by their stamps [s]."""
    skew_s = abs(primary_s - wrist_s)
    if not skew_s <= limits.max_skew_s:
        return Verdict(
            "skewed",
            f"the cameras' frames are {_ms(skew_s)} apart, {_ms(limits.max_skew_s)} are allowed",
        )
    return GOOD


def _ms(time_s: float) -> str:
    return f"{time_s * 1e3:.0f} ms"
