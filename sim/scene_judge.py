"""Whether the task of a scene in another process is done."""

from __future__ import annotations

from pathlib import Path

from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.sim.demo import ARM
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.scene_feed import SceneReader
from dreamvla_edge.sim.tasks import FAMILIES, draw
from dreamvla_edge.sim.tasks.task import HOLDS


class SceneJudge:
    """Watches a scene through its feed (`scene_feed`).

    task: as it was drawn; scene: as it was at the last look. Raises ObservationError if there is
    no feed.
    """

    def __init__(self, feed: Path) -> None:
        self._reader = SceneReader(feed)
        self.scene = Scene(load_description(ARM))
        family = FAMILIES[self._reader.family]
        self.task = draw(family, self._reader.seed, len(self.scene.description.joints))
        self.scene.reset(self.task.layout)
        self._progress = family.begin(self.task.about, self.scene)
        self._held = 0

    def look(self) -> bool:
        """Whether the task is done now; to be asked once a policy step, as in an evaluation."""
        self.scene.show(self._reader.read().qpos)
        self._held = self._held + 1 if self._progress.done(self.scene) else 0
        return self._held >= HOLDS

    def close(self) -> None:
        """Looks no more."""
        self._reader.close()
