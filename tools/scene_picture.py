"""Draws docs/images/scene.png: the expert in the middle of every family, seen by both cameras.

python tools/scene_picture.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.arms.kinematics import chain_of
from dreamvla_edge.sim.demo import ARM
from dreamvla_edge.sim.episode import Episode
from dreamvla_edge.sim.expert import Expert
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.scene.views import Views
from dreamvla_edge.sim.tasks import FAMILIES

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "images" / "scene.png"
STEPS = {"touch": 14, "push": 24, "lift": 24, "bowl": 44, "drawer": 32}
SEED, SIZE, GAP = 7, 192, 4


def main() -> None:
    """One column per family."""
    scene = Scene(load_description(ARM))
    chain = chain_of(scene.description)
    columns = []
    with Views(scene, SIZE) as views:
        for name, family in FAMILIES.items():
            episode = Episode(scene, family, SEED)
            expert = Expert(scene, np.random.default_rng(SEED), noise=0.0)
            for _ in range(STEPS[name]):
                shown = expert.act(episode.progress, episode.goal)
                goal = np.clip(episode.goal + shown.done, chain.lower, chain.upper)
                episode.step(goal, shown.opening)
            gap = np.full((GAP, SIZE, 3), 255, np.uint8)
            columns.append(np.vstack([views.image("primary"), gap, views.image("wrist")]))
            print(f"{name}: {episode.task.instruction}")
    gap = np.full((columns[0].shape[0], GAP, 3), 255, np.uint8)
    parts = [part for column in columns for part in (column, gap)][:-1]
    Image.fromarray(np.hstack(parts)).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
