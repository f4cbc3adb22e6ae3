"""Who acts: a policy, and those that a policy must be better than."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.chunk import action_use
from dreamvla_edge.runtime.motion import gripper_command
from dreamvla_edge.runtime.policy import Policy
from dreamvla_edge.runtime.specification import Specification

from .trial import Actor, Frame


class PolicyActor:
    """A bundle's policy; the sampler's noise depends on the episode alone."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._use = action_use(policy.bundle.manifest.specification.action)
        self._random = np.random.default_rng(0)
        self.times_s: list[float] = []

    def begin(self, instruction: str, seed: int) -> None:
        """See `Actor.begin`."""
        self._policy.reset(instruction)
        self._use.reset()
        self._random = np.random.default_rng((seed, zlib.crc32(instruction.encode())))

    def act(self, primary: Frame, wrist: Frame, state: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Actor.act`."""
        chunk = self._policy.act(primary, wrist, state, self._policy.noise(self._random))
        self.times_s.append(chunk.spans["sampler"][1] - chunk.spans["preprocess"][0])
        return self._use.use(chunk.actions)


class Blind:
    """Acts as another does that sees nothing but black."""

    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def begin(self, instruction: str, seed: int) -> None:
        """See `Actor.begin`."""
        self._actor.begin(instruction, seed)

    def act(self, primary: Frame, wrist: Frame, state: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Actor.act`."""
        return self._actor.act(np.zeros_like(primary), np.zeros_like(wrist), state)


class Dice:
    """Any action that is allowed, each as likely as any other."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(0)

    def begin(self, instruction: str, seed: int) -> None:
        """See `Actor.begin`."""
        self._random = np.random.default_rng((seed, 0xD1CE))

    def act(self, primary: Frame, wrist: Frame, state: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Actor.act`."""
        arm = self._random.uniform(-1, 1, 6)
        return np.array([*arm, self._random.choice([-1, 1])], np.float32)


class Idle:
    """Wants to stay where it is, the gripper open; for actions that are changes."""

    def __init__(self, specification: Specification) -> None:
        self._open = gripper_command(specification.action.gripper, 1.0)

    def begin(self, instruction: str, seed: int) -> None:
        """See `Actor.begin`."""

    def act(self, primary: Frame, wrist: Frame, state: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Actor.act`."""
        return np.array([0, 0, 0, 0, 0, 0, self._open], np.float32)


CONTROLS: dict[str, Callable[[Policy], Actor]] = {
    "black images": lambda policy: Blind(PolicyActor(policy)),
    "shuffled instruction": PolicyActor,  # what it is told instead: see `evaluation`
    "random actions": lambda policy: Dice(),
    "doing nothing": lambda policy: Idle(policy.bundle.manifest.specification),
}
"""What success is worth nothing without: the same tasks, by one who cannot know how."""
