"""One camera that is read all the time."""

from __future__ import annotations

import threading
from collections.abc import Callable

from dreamvla_edge.runtime.errors import ObservationError

from .camera import Camera, EndOfFrames
from .health import Limits, Stream, Verdict, follow, judge, look
from .ring import Ring

_PAUSE_S = 0.1  # before a camera that failed is opened again; doubled up to the longest
_LONGEST_PAUSE_S = 2.0
_END_S = 3.0  # longer than any camera's read waits


class CameraThread:
    """Reads a camera into a ring, judges every frame, and opens it again when it has failed.

    ring: frames of the right size, newest `capacity`. arm_moves: to be set by whoever knows;
    while it is set, a picture that stays the same is a fault.
    """

    def __init__(
        self,
        open_again: Callable[[], Camera],
        size: tuple[int, int],
        limits: Limits,
        capacity: int = 64,
    ) -> None:
        """open_again: opens the camera, here and after failures; size: (height, width).

        Raises what open_again raises the first time.
        """
        self.ring, self.arm_moves = Ring(capacity), False
        self._open, self._size, self._limits = open_again, size, limits
        self._stream: Stream | None = None
        self._error = ""
        self._ended = threading.Event()
        self._camera: Camera | None = open_again()
        self._thread = threading.Thread(target=self._run, name="camera", daemon=True)
        self._thread.start()

    def verdict(self, now_s: float) -> Verdict:
        """On the stream at this monotonic time [s]; says the camera's own error if it is stale."""
        found = judge(self._stream, self._size, now_s, self._limits)
        error = self._error
        if found.condition == "stale" and error:
            return Verdict("stale", f"{found.reason}: {error}")
        return found

    def close(self) -> None:
        """Ends the thread and gives the camera back."""
        self._ended.set()
        self._thread.join(_END_S)

    def _run(self) -> None:
        pause_s = _PAUSE_S
        try:
            while not self._ended.is_set():
                try:
                    self._camera = self._camera or self._open()
                    self._take(self._camera)
                    pause_s = _PAUSE_S
                except EndOfFrames as end:
                    self._error = end.found
                    return
                except Exception as error:
                    # Whatever it is: a thread that dies would leave the arm without eyes and
                    # nobody would say why.
                    self._error = error.found if isinstance(error, ObservationError) else str(error)
                    self._give_back()
                    self._ended.wait(pause_s)
                    pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        finally:
            self._give_back()

    def _take(self, camera: Camera) -> None:
        frame = camera.read()
        seen = look(frame)
        self._stream, self._error = follow(self._stream, seen, self.arm_moves), ""
        if seen.shape == (*self._size, 3):
            self.ring.push(frame)

    def _give_back(self) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.close()
