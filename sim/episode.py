"""One try at one task: an arm under guard in a scene, a goal at a time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dreamvla_edge.runtime.guardian.message import Command, Order, State, Waypoint
from dreamvla_edge.runtime.rotation import Array
from dreamvla_edge.sim.expert import Expert
from dreamvla_edge.sim.lock_step import LockStep
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.tasks.task import HOLDS, Family, draw

RATE_HZ = 10.0
"""Policy steps a second."""
STEPS = 150
"""An episode that is not done by then has failed."""
_READY_S = 2.0
_DRIVING = (State.HOLD, State.RAMP, State.TRACK)


class Episode:
    """The beginning of a seed's episode of one family, with the arm held.

    goal (n,) [rad]: the last one that was given; done: whether the task was, at the last step;
    steps: how many there were. Raises RuntimeError if the guardian does not get ready.
    """

    def __init__(self, scene: Scene, family: Family, seed: int) -> None:
        self.scene, self.seed = scene, seed
        self.task = draw(family, seed, len(scene.description.joints))
        scene.reset(self.task.layout)
        self.lock = LockStep(scene)
        self.lock.run(_READY_S)
        if not self.is_driven:
            raise RuntimeError(f"the guardian is in {self.lock.state.name}: {self.lock.reason}")
        self.progress = family.begin(self.task.about, scene)
        self.goal: Array = self.lock.reading().joints
        self.steps = self._held = 0
        while self.lock.state is not State.TRACK:  # the ramp to full speed is no part of a task
            self._go(self.goal, 1.0)

    @property
    def is_driven(self) -> bool:
        """Whether the guardian follows waypoints."""
        return self.lock.state in _DRIVING

    @property
    def done(self) -> bool:
        """Whether the task is done."""
        return self._held >= HOLDS

    def step(self, goal: Array, opening: float) -> None:
        """One policy step towards joints (n,) [rad] and an opening, 0 to 1."""
        self.goal = goal
        self._go(goal, opening)
        self.steps += 1
        self._held = self._held + 1 if self.progress.done(self.scene) else 0

    def _go(self, goal: Array, opening: float) -> None:
        now_ns, period_ns = self.lock.clock.monotonic_ns(), round(1e9 / RATE_HZ)
        # It stands there until the next one, which comes in time.
        way = tuple(Waypoint(now_ns + n * period_ns, goal, opening) for n in (1, 2))
        order = Command(Order.WAYPOINTS, observed_ns=now_ns, waypoints=way)
        self.lock.desk.give(order)
        self.lock.run(1 / RATE_HZ)


class Shown(NamedTuple):
    """How an expert did: whether the task was done, and after how many steps."""

    done: bool
    steps: int


def show(scene: Scene, family: Family, seed: int, noise: float = 1.0) -> Shown:
    """The expert's try at a seed."""
    episode = Episode(scene, family, seed)
    expert = Expert(scene, np.random.default_rng((seed, 1)), noise)
    joints = scene.description.joints
    low, high = (np.array([getattr(j, end) for j in joints]) for end in ("lower_rad", "upper_rad"))
    while not episode.done and episode.steps < STEPS and episode.is_driven:
        shown = expert.act(episode.progress, episode.goal)
        episode.step(np.clip(episode.goal + shown.done, low, high), shown.opening)
    return Shown(episode.done, episode.steps)
