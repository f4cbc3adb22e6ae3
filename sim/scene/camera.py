"""A camera of a scene that runs in another process."""

from __future__ import annotations

from pathlib import Path

from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.cameras import CameraSource, Frame
from dreamvla_edge.runtime.cameras.pace import Pace
from dreamvla_edge.runtime.cameras.source import check_options
from dreamvla_edge.runtime.errors import ObservationError
from dreamvla_edge.runtime.specification import CameraSpecification
from dreamvla_edge.sim.demo import ARM
from dreamvla_edge.sim.scene_feed import SceneReader
from dreamvla_edge.sim.tasks import FAMILIES, draw

from .scene import Scene
from .views import Role, Views


class SceneCamera:
    """The kind `scene` of a robot file; device: the feed of a scene (`sim.scene_feed`).

    It draws what the feed says, in its own thread: `read` belongs to one thread. A scene that
    stops gives the same frame again and again, as a frozen camera does. Raises ObservationError
    if there is no feed, or if its frames are not square.
    """

    def __init__(self, source: CameraSource, raw: CameraSpecification) -> None:
        check_options(source, ())
        if raw.height != raw.width:
            raise ObservationError(
                f"a frame of {raw.height} x {raw.width} pixels of a scene",
                "a square one",
                "leave out width and height in the robot file",
            )
        self._reader = SceneReader(Path(source.device))
        self._role: Role = raw.role
        self._size, self._pace = raw.height, Pace(source.fps)
        self._drawing: tuple[Scene, Views] | None = None

    def read(self) -> Frame:
        """The next frame, stamped with the moment that it shows."""
        scene, views = self._drawing or self._begin()
        self._pace.wait()
        now = self._reader.read()
        scene.show(now.qpos)
        return Frame(views.image(self._role), now.stamp_s)

    def close(self) -> None:
        """Gives everything back."""
        if self._drawing is not None:
            self._drawing[1].close()
        self._reader.close()

    def _begin(self) -> tuple[Scene, Views]:
        """Made in the thread that reads, since what draws belongs to one thread."""
        scene = Scene(load_description(ARM))
        family = FAMILIES[self._reader.family]
        scene.reset(draw(family, self._reader.seed, len(scene.description.joints)).layout)
        self._drawing = scene, Views(scene, self._size)
        return self._drawing
