"""Both eyes of a robot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dreamvla_edge.runtime.specification import CameraSpecification

from . import open_camera
from .camera import Frame
from .camera_thread import CameraThread
from .health import Limits, Verdict, judge_skew
from .history import pairs
from .source import CameraSource


class Sight(NamedTuple):
    """What both cameras showed at one training step, due at time_s [s]."""

    time_s: float
    primary: Frame
    wrist: Frame


class CameraPair:
    """The primary and the wrist camera, each in a thread of its own."""

    def __init__(self, primary: CameraThread, wrist: CameraThread, limits: Limits) -> None:
        """limits: of the skew."""
        self.primary, self.wrist, self._limits = primary, wrist, limits

    @classmethod
    def open(
        cls,
        sources: tuple[CameraSource, CameraSource],
        specifications: tuple[CameraSpecification, CameraSpecification],
    ) -> CameraPair:
        """Opens both. Raises ObservationError if one cannot be opened; then none is open."""
        primary = open_thread(sources[0], specifications[0])
        try:
            wrist = open_thread(sources[1], specifications[1])
        except BaseException:
            primary.close()
            raise
        return cls(primary, wrist, Limits.at_rate(min(source.fps for source in sources)))

    def sights(self, times_s: Sequence[float]) -> list[Sight]:
        """For each time [s, increasing] by which both had given a frame; see `pairs`."""
        primary, wrist = self.primary.ring.frames(), self.wrist.ring.frames()
        stamps = ([frame.stamp_s for frame in frames] for frames in (primary, wrist))
        return [
            Sight(times_s[pair.time], primary[pair.primary], wrist[pair.wrist])
            for pair in pairs(times_s, *stamps)
        ]

    def newest(self) -> Sight | None:
        """The newest pair, or None before both cameras have given a frame."""
        found = self.sights([float("inf")])
        return found[0] if found else None

    def move(self, arm_moves: bool) -> None:
        """Says whether the arm moves: then a picture that stays the same is a fault."""
        self.primary.arm_moves = self.wrist.arm_moves = arm_moves

    def verdict(self, now_s: float) -> Verdict:
        """The first thing wrong at this monotonic time [s], with the camera's role.

        Skew is judged on the newest frames: `sights` pairs older ones around a late camera.
        """
        for role, camera in (("primary", self.primary), ("wrist", self.wrist)):
            found = camera.verdict(now_s)
            if not found.good:
                return Verdict(found.condition, f"{role} camera: {found.reason}")
        newest = (self.primary.ring.newest(), self.wrist.ring.newest())
        if newest[0] is None or newest[1] is None:
            return Verdict("stale", "not both cameras have given a frame yet")
        return judge_skew(newest[0].stamp_s, newest[1].stamp_s, self._limits)

    def close(self) -> None:
        """Gives both devices back."""
        self.primary.close()
        self.wrist.close()

    def __enter__(self) -> CameraPair:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_thread(source: CameraSource, specification: CameraSpecification) -> CameraThread:
    """One camera in a thread, with the usual limits for its rate. Raises ObservationError."""
    return CameraThread(
        lambda: open_camera(source, specification),
        (specification.height, specification.width),
        Limits.at_rate(source.fps, source.may_be_dark),
    )
