"""The scripted expert: sees everything, and shows the network what to do."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dreamvla_edge.runtime.arms.kinematics import Chain, Pose, chain_of, inverse
from dreamvla_edge.runtime.rotation import Array
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.tasks.task import Progress

STEP_RAD = 0.09
"""Most that an action turns a joint: 0.9 rad/s at 10 Hz, below the arm's 1 rad/s."""
_STEP_M = 0.03
_NOISE_RAD, _NOISY, _LASTS = 0.03, 0.12, 4  # of each joint; chance a step; steps


class Shown(NamedTuple):
    """One step: what the network shall learn, and what is done.

    delta (n,) [rad]: from where the arm is, which is seen; done (n,) [rad]: added to the last goal,
    with the noise that leads the arm astray, so that the expert shows the way back (Laskey et al.,
    "DART", CoRL 2017). opening: 0 or 1.
    """

    delta: Array
    done: Array
    opening: float


class Expert:
    """Turns what a task wants into small joint steps.

    noise: share of the usual disturbance; random: where it comes from.
    """

    def __init__(self, scene: Scene, random: np.random.Generator, noise: float = 1.0) -> None:
        self._scene, self._random, self._noise = scene, random, noise
        self._chain: Chain = chain_of(scene.description)
        self._left, self._push = 0, np.zeros(len(self._chain.names))

    def act(self, progress: Progress, goal: Array) -> Shown:
        """One policy step from the last goal (n,) [rad]."""
        wanted, tool = progress.wanted(self._scene), self._scene.tool
        way = wanted.tool.position - tool.position
        far = float(np.linalg.norm(way))
        target = Pose(
            tool.position + way * min(1.0, _STEP_M / max(far, 1e-9)), wanted.tool.rotation
        )
        joints = inverse(self._chain, target, self._scene.joints).joints
        done = np.clip(_cut(joints - goal) + self._disturbance(), -STEP_RAD, STEP_RAD)
        return Shown(_cut(joints - self._scene.joints), done, wanted.opening)

    def _disturbance(self) -> Array:
        if self._left == 0 and self._random.random() < _NOISY * self._noise:
            self._left = _LASTS
            self._push = self._random.normal(0, _NOISE_RAD, len(self._push))
        if self._left == 0:
            return np.zeros_like(self._push)
        self._left -= 1
        return self._push


def _cut(way: Array) -> Array:
    """As much of a way (n,) [rad] as one action may turn, all joints alike."""
    return way * min(1.0, STEP_RAD / max(float(np.abs(way).max()), 1e-9))
