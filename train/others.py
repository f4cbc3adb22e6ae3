"""What else could have been asked for in the frames of a recording, and what should be done then.

A recording shows one instruction being followed, so that its words and what the arm is about
never disagree, and a network does well on it that looks at the arm and does not listen. The
expert depends on the present alone, and so can be asked in every frame what it would do next if
it had been told something else.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.sim.demo import action
from dreamvla_edge.sim.expert import Expert
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.tasks import FAMILIES, Family, Object, draw, objects, said
from dreamvla_edge.sim.tasks.task import Task
from dreamvla_edge.sim.teach import MOTION

ASKED = 4
"""Other tasks for each recording."""


class Others(NamedTuple):
    """Instructions, and executed actions (n, len(instructions), 7): the next one in every frame."""

    instructions: tuple[str, ...]
    actions: NDArray[np.float32]


def others(scene: Scene, folder: Path) -> Others:
    """Of what `sim.teach` recorded in a folder, whose name tells family and seed."""
    name, _, seed = folder.name.rpartition("-")
    task = draw(FAMILIES[name], int(seed), len(scene.description.joints))
    random = np.random.default_rng((int(seed), zlib.crc32(name.encode())))
    tasks = _asked(task, random)
    words = [family.phrasings[int(random.integers(len(family.phrasings)))] for family, _ in tasks]
    expert = Expert(scene, random, noise=0.0)
    scene.reset(task.layout)
    motion = np.load(folder / MOTION)["qpos"]
    actions = np.empty((len(motion), len(tasks), 7), np.float32)
    for frame, qpos in enumerate(motion):
        scene.show(qpos)
        for number, (family, about) in enumerate(tasks):
            # It begins here: what a picture does not show must not matter.
            wanted = expert.act(family.begin(about, scene), scene.joints)
            actions[frame, number] = action(wanted.delta, wanted.opening)
    pairs = zip(words, tasks, strict=True)
    return Others(tuple(said(phrase, about) for phrase, (_, about) in pairs), actions)


def _asked(task: Task, random: np.random.Generator) -> list[tuple[Family, Object]]:
    """Other tasks in a task's layout, of as many families as there are."""
    found: list[tuple[Family, Object]] = []
    families = [*FAMILIES.values()]
    while len(found) < ASKED:
        for index in random.permutation(len(families)):
            family = families[index]
            pairs = [(family, about) for about in objects(family, task.layout)]
            left = [p for p in pairs if p != (task.family, task.about) and p not in found]
            if left:
                found.append(left[int(random.integers(len(left)))])
    return found[:ASKED]
