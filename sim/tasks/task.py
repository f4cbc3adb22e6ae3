"""One thing to do in one layout, in words, and when it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count, product
from typing import NamedTuple, Protocol

import numpy as np

from dreamvla_edge.runtime.arms.kinematics import Pose
from dreamvla_edge.sim.scene.layout import TRAINING, Layout
from dreamvla_edge.sim.scene.layout import draw as draw_layout
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


class Object(NamedTuple):
    """What a task is about: a block's colour, and which way; empty where it has none."""

    colour: str = ""
    way: str = ""


@dataclass(frozen=True)
class Family:
    """Tasks that differ in their object.

    phrasings, held_out: with `{colour}` and `{way}` where it has them; the latter are said in
    evaluation only. ways: those that there are. suits: whether an object can be asked for in a
    layout. begin: a task's memory, for its object and the scene it begins in.
    """

    name: str
    phrasings: Sequence[str]
    held_out: Sequence[str]
    begin: Callable[[Object, Scene], Progress]
    ways: Sequence[str] = ("",)
    suits: Callable[[Object, Layout], bool] = lambda about, layout: True


@dataclass(frozen=True)
class Task:
    """A family's task with an object, in the layout it begins in; instruction: as it is said."""

    family: Family
    about: Object
    instruction: str
    layout: Layout


def draw(family: Family, seed: int, joints: int) -> Task:
    """The task of a seed, for an arm with so many joints.

    Training seeds (below TRAINING) get the phrasings, the others those that are held out.
    """
    random = np.random.default_rng((seed, _WORDS))
    phrasings = family.phrasings if seed < TRAINING else family.held_out
    phrase = phrasings[int(random.integers(len(phrasings)))]
    for attempt in count():
        layout = draw_layout(seed, joints, attempt)
        if fitting := objects(family, layout):
            about = fitting[int(random.integers(len(fitting)))]
            return Task(family, about, said(phrase, about), layout)
    raise AssertionError("attempts do not end")


def objects(family: Family, layout: Layout) -> list[Object]:
    """All that a family can be asked for in a layout."""
    has_colour = "{colour}" in family.phrasings[0]
    colours = [block.colour for block in layout.blocks] if has_colour else [""]
    abouts = [Object(*pair) for pair in product(colours, family.ways)]
    return [about for about in abouts if family.suits(about, layout)]


def said(phrase: str, about: Object) -> str:
    """The instruction: a phrasing with its object in it."""
    return phrase.format(colour=about.colour, way=about.way)
