"""Cameras behind a GStreamer pipeline, such as the CSI cameras of a Jetson."""

from __future__ import annotations

import os
import select
import shlex
import shutil
import signal
import subprocess
import tempfile
import time

import numpy as np

from dreamvla_edge.runtime.errors import ObservationError
from dreamvla_edge.runtime.specification import CameraSpecification

from .camera import Frame
from .source import CameraSource, check_options

PROGRAM = "gst-launch-1.0"
_FIRST_FRAME_S = 10.0  # Argus starts its daemon, sensor and exposure control
_FRAME_S = 1.0
_END_S = 2.0


class GstreamerCamera:
    """The frames of a pipeline that `gst-launch-1.0` runs in a process of its own.

    device: the pipeline without its end. A CSI camera of a Jetson:

        nvarguscamerasrc sensor-id=0 ! video/x-raw(memory:NVMM),width=1280,height=720,framerate=30/1
        ! nvvidconv ! video/x-raw,format=BGRx

    A conversion to RGB, the raw frame's size and a queue that drops all but the newest frame are
    added. width and height must be the pipeline's; put videoscale or nvvidconv into it to change
    them. A process of its own, because the OpenCV of PyPI is built without GStreamer, and because
    a camera daemon that dies does not take this program along.
    Limit: no time of capture comes through the pipe. A frame is stamped when its first bytes
    arrive, after the pipeline's own delay (on a Jetson two or three frames).
    """

    def __init__(self, source: CameraSource, raw: CameraSpecification) -> None:
        """Raises ObservationError if there is no GStreamer or no frame of this size comes."""
        check_options(source, ())  # a pipeline says all by itself
        if shutil.which(PROGRAM) is None:
            raise ObservationError(
                f"{PROGRAM} is not on the PATH",
                "GStreamer's command line tools, which JetPack installs",
                "sudo apt-get install gstreamer1.0-tools gstreamer1.0-plugins-good",
            )
        self._shape = (raw.height, raw.width)
        self._stride = (raw.width * 3 + 3) // 4 * 4  # GStreamer pads a row to four bytes
        self._data, self._stamp_s = bytearray(), 0.0  # of the frame that is arriving
        self._pipe, theirs = os.pipe()
        self._messages = tempfile.TemporaryFile()
        command = [PROGRAM, "-q", *shlex.split(source.device), *_sink(raw, theirs)]
        try:
            # In a session of its own Ctrl-C does not reach it: it is ended by close.
            self._process = subprocess.Popen(
                command,
                pass_fds=(theirs,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._messages,
                start_new_session=True,
            )
        finally:
            os.close(theirs)
        try:
            self._frame(_FIRST_FRAME_S)
        except BaseException:
            self.close()
            raise

    def read(self) -> Frame:
        """The next frame; waits a second at most. Raises ObservationError if none comes."""
        return self._frame(_FRAME_S)

    def close(self) -> None:
        """Ends the pipeline."""
        # At SIGINT it stops its elements one by one, at SIGTERM it drops dead, which Argus's
        # daemon does not forgive.
        self._process.send_signal(signal.SIGINT)
        os.close(self._pipe)
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._messages.close()

    def _frame(self, timeout_s: float) -> Frame:
        size, end_s = self._stride * self._shape[0], time.monotonic() + timeout_s
        while len(self._data) < size:
            left_s = max(0.0, end_s - time.monotonic())
            ready = select.select([self._pipe], [], [], left_s)[0]
            part = os.read(self._pipe, size - len(self._data)) if ready else b""
            if not part:  # what has come of this frame stays: the next read goes on with it
                why = "has ended" if ready else f"gives no frame within {timeout_s:g} s"
                raise self._silent(why)
            if not self._data:
                self._stamp_s = time.monotonic()
            self._data += part
        height, width = self._shape
        rows = np.frombuffer(self._data, np.uint8).reshape(height, self._stride)
        self._data = bytearray()
        return Frame(rows[:, : width * 3].reshape(height, width, 3), self._stamp_s)

    def _silent(self, why: str) -> ObservationError:
        """The error when no frame comes, with the pipeline's own words."""
        self._messages.seek(0)
        lines = self._messages.read().decode(errors="replace").splitlines()
        said = next((line for line in lines if line.startswith(("ERROR", "WARNING"))), "no message")
        height, width = self._shape
        return ObservationError(
            f"the pipeline {why} ({said})",
            f"frames {width} wide and {height} high",
            f"try `device` of this camera with {PROGRAM} … ! autovideosink, and set width and"
            " height to the size that the pipeline gives",
        )


def _sink(raw: CameraSpecification, descriptor: int) -> list[str]:
    """The end of the pipeline: newest frame only, RGB, into a pipe."""
    caps = f"video/x-raw,format=RGB,width={raw.width},height={raw.height}"
    newest = "queue leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0"
    return shlex.split(f"! videoconvert ! {caps} ! {newest} ! fdsink fd={descriptor} sync=false")
