"""Camera faults on command, in the words of PX4's failure injection."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

import numpy as np

from dreamvla_edge.runtime.cameras import Camera, Frame
from dreamvla_edge.runtime.errors import ObservationError

_DELAY_FRAMES = 16
_SLOW_FRAMES = 8  # one of so many gets through
_LONGEST_GAP_FRAMES = 10


class FaultyCamera:
    """A camera with something wrong, or nothing while `fault` is None; it may change at any time.

    fault, a name of CAMERA_FAULTS: off: no frames, as with the cable pulled; stuck: new stamps on
    the same picture; garbage: random pixels; wrong: a quarter of the size; slow: one of eight
    frames; delayed: pictures and stamps of sixteen frames ago; intermittent: gaps of up to ten
    frames, as long in the mean as what is between them. Raises ValueError for another name.
    """

    def __init__(self, camera: Camera, fault: str | None = None, seed: int = 0) -> None:
        self._camera, self._random = camera, np.random.default_rng(seed)
        self._past: deque[Frame] = deque(maxlen=_DELAY_FRAMES + 1)
        self.fault = fault

    @property
    def fault(self) -> str | None:
        """What is wrong now."""
        return self._fault

    @fault.setter
    def fault(self, fault: str | None) -> None:
        if fault is not None and fault not in CAMERA_FAULTS:
            raise ValueError(f"no fault is called {fault!r}, only {', '.join(CAMERA_FAULTS)}")
        self._fault = fault

    def read(self) -> Frame:
        """The next frame that the fault lets through. Raises ObservationError if it is off."""
        if self._fault is None:
            return self._next()
        return CAMERA_FAULTS[self._fault](self)

    def close(self) -> None:
        """Gives the device back."""
        self._camera.close()

    def _next(self) -> Frame:
        frame = self._camera.read()
        self._past.append(frame)
        return frame

    def _off(self) -> Frame:
        raise ObservationError(
            "the simulated camera is off", "a frame", "clear its fault: it was switched off"
        )

    def _stuck(self) -> Frame:
        # Not kept: the past stays at the last good picture.
        good = self._past[-1] if self._past else self._next()
        return Frame(good.image, self._camera.read().stamp_s)

    def _garbage(self) -> Frame:
        frame = self._next()
        return Frame(self._random.integers(0, 256, frame.image.shape, np.uint8), frame.stamp_s)

    def _wrong(self) -> Frame:
        frame = self._next()
        return Frame(frame.image[::2, ::2].copy(), frame.stamp_s)

    def _slow(self) -> Frame:
        for _ in range(_SLOW_FRAMES - 1):
            self._next()
        return self._next()

    def _delayed(self) -> Frame:
        self._next()
        return self._past[0]

    def _intermittent(self) -> Frame:
        # A gap begins after a frame with the chance that makes both equally long in the mean.
        if self._random.random() < 2 / (_LONGEST_GAP_FRAMES + 1):
            for _ in range(self._random.integers(1, _LONGEST_GAP_FRAMES + 1)):
                self._next()
        return self._next()


CAMERA_FAULTS: Mapping[str, Callable[[FaultyCamera], Frame]] = {
    "off": FaultyCamera._off,
    "stuck": FaultyCamera._stuck,
    "garbage": FaultyCamera._garbage,
    "wrong": FaultyCamera._wrong,
    "slow": FaultyCamera._slow,
    "delayed": FaultyCamera._delayed,
    "intermittent": FaultyCamera._intermittent,
}
