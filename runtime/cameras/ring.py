"""The frames of the last seconds, by the time of their capture."""

from __future__ import annotations

import math
import threading
from bisect import bisect_right
from collections import deque

from .camera import Frame


class Ring:
    """The newest `capacity` frames in the order of their stamps; safe between threads."""

    def __init__(self, capacity: int) -> None:
        self._frames: deque[Frame] = deque(maxlen=capacity)
        self._lock = threading.Lock()

    def push(self, frame: Frame) -> bool:
        """Takes a frame that is newer than all before; False if it is not, and is left out."""
        with self._lock:
            newest_s = self._frames[-1].stamp_s if self._frames else -math.inf
            if not newest_s < frame.stamp_s < math.inf:
                return False
            frame.image.flags.writeable = False  # it is about to be shared
            self._frames.append(frame)
            return True

    def frames(self) -> tuple[Frame, ...]:
        """All frames, oldest first."""
        with self._lock:
            return tuple(self._frames)

    def newest(self) -> Frame | None:
        """The newest frame, or None before the first."""
        with self._lock:
            return self._frames[-1] if self._frames else None

    def at(self, stamp_s: float) -> Frame | None:
        """What was to be seen at a time [s]: the newest frame not later, or None."""
        frames = self.frames()
        index = bisect_right([frame.stamp_s for frame in frames], stamp_s)
        return frames[index - 1] if index else None
