"""One thing to do in one layout, in words, and when it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from dreamvla_edge.runtime.arms.kinematics import Pose
from dreamvla_edge.sim.scene.layout import TRAINING, Layout
from dreamvla_edge.sim.scene.scene import Scene

HOLDS = 3
"""A task is done when that is the case so many policy steps in a row."""
_WORDS = 0x3A5C  # a stream of random numbers of its own


class Wanted(NamedTuple):
    """Where the scripted expert wants the tool next, and the gripper's opening (0 or 1)."""

    tool: Pose
    opening: float


class Progress(Protocol):
    """An episode's memory of one task."""

    def done(self, scene: Scene) -> bool:
        """Whether it is the case now; looked at once a policy step."""

    def wanted(self, scene: Scene) -> Wanted:
        """What a person who sees everything would do now; depends on the present only."""


@dataclass(frozen=True)
class Family:
    """Tasks that differ in an object.

    phrasings, held_out: with `{colour}`; the latter are said in evaluation only.
    begin: a task's memory, for the colour it is about and the scene it begins in.
    """

    name: str
    phrasings: Sequence[str]
    held_out: Sequence[str]
    begin: Callable[[str, Scene], Progress]


@dataclass(frozen=True)
class Task:
    """family: its name; colour: of the block it is about; instruction: as it is said."""

    family: Family
    colour: str
    instruction: str


def draw(family: Family, layout: Layout, seed: int) -> Task:
    """The task of a seed: training seeds get the phrasings, the others those held out."""
    random = np.random.default_rng((seed, _WORDS))
    colour = layout.blocks[int(random.integers(len(layout.blocks)))].colour
    phrasings = family.phrasings if seed < TRAINING else family.held_out
    phrase = phrasings[int(random.integers(len(phrasings)))]
    return Task(family, colour, phrase.format(colour=colour))
