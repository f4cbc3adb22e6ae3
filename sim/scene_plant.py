"""A scene that a virtual bus moves on in real time, and that tells other processes about itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.sim.motor import Drive
from dreamvla_edge.sim.plant import Turned
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.scene_feed import Now, SceneWriter
from dreamvla_edge.sim.tasks import FAMILIES, draw

_PERIOD_S = 0.01


class ScenePlant:
    """A scene in the layout of a family's task of a seed; a `Plant`. Raises KeyError for no family.

    Nothing moves until a servo first gives torque, as if somebody held the arm at its rest: a
    policy may take seconds to start, in which a limp arm would sink onto the table.
    """

    def __init__(self, description: ArmDescription, family: str, seed: int) -> None:
        self._scene, self._task = Scene(description), (family, seed)
        self._scene.reset(draw(FAMILIES[family], seed, len(description.joints)).layout)
        self._let_go = False

    def drive(self, servo: int, drive: Drive) -> None:
        """See `Plant.drive`."""
        self._let_go = self._let_go or drive.torque > 0
        self._scene.drive(servo, drive)

    def advance(self, now_s: float) -> None:
        """See `Plant.advance`; time begins when the arm is let go."""
        if self._let_go:
            self._scene.advance(now_s)

    def turned(self, servo: int) -> Turned:
        """See `Plant.turned`."""
        return self._scene.turned(servo)

    @contextmanager
    def told(self, feed: Path, held: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
        """Writes a feed in a thread meanwhile; held: in which nobody moves the scene on."""
        writer = SceneWriter(feed, *self._task, len(self._scene.data.qpos))
        ended = threading.Event()

        def tell() -> None:
            while not ended.wait(_PERIOD_S):
                with held():
                    now = Now(time.monotonic(), self._scene.data.qpos.copy())
                writer.write(now)

        thread = threading.Thread(target=tell, name="feed", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
            writer.close()
