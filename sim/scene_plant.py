"""A scene that a virtual bus moves on in real time, and that tells other processes about itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.scene_feed import Now, SceneWriter
from dreamvla_edge.sim.tasks import FAMILIES, draw

_PERIOD_S = 0.01


class ScenePlant:
    """A scene in the layout of a family's task of a seed. Raises KeyError for no family."""

    def __init__(self, description: ArmDescription, family: str, seed: int) -> None:
        self.scene, self._task = Scene(description), (family, seed)
        self.scene.reset(draw(FAMILIES[family], seed, len(description.joints)).layout)

    @contextmanager
    def told(self, feed: Path, held: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
        """Writes a feed in a thread meanwhile; held: in which nobody moves the scene on."""
        writer = SceneWriter(feed, *self._task, len(self.scene.data.qpos))
        ended = threading.Event()

        def tell() -> None:
            while not ended.wait(_PERIOD_S):
                with held():
                    now = Now(time.monotonic(), self.scene.data.qpos.copy())
                writer.write(now)

        thread = threading.Thread(target=tell, name="feed", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            writer.close()
