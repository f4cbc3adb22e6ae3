"""How fast the scene is: pairs of camera pictures a second, and lock step against the wall clock.

    python benchmarks/scene_rate.py [--json] [--seconds N]

One core. `pairs_per_s`: both cameras at 96 x 96 pixels, colours only, the scene standing.
`lock_step_ratio`: simulated seconds a second with guardian, bytes, servos and physics, the expert
at work. Both are medians of five parts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.sim.demo import ARM, IMAGE
from dreamvla_edge.sim.episode import RATE_HZ, Episode, show
from dreamvla_edge.sim.scene.layout import draw
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.scene.views import Views
from dreamvla_edge.sim.tasks import FAMILIES

PARTS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--seconds", type=float, default=20.0, help="for both together")
    options = parser.parse_args(arguments)
    scene = Scene(load_description(ARM))
    scene.reset(draw(0, len(scene.description.joints)))
    part_s = options.seconds / (2 * PARTS)
    with Views(scene, IMAGE) as views:

        def pair() -> float:
            views.image("primary")
            views.image("wrist")
            return 1.0

        pairs = [_rate(pair, part_s) for _ in range(PARTS)]
    episode = Episode(scene, FAMILIES["lift"], 0)

    def step() -> float:
        episode.step(episode.goal, 1.0)
        return 1 / RATE_HZ

    steps = [_rate(step, part_s) for _ in range(PARTS)]
    result: dict[str, Any] = {
        "pairs_per_s": median(pairs),
        "lock_step_ratio": median(steps),
        "expert_lifts": show(scene, FAMILIES["lift"], 0).done,
        "gl": os.environ.get("MUJOCO_GL", "a screen's"),
        "machine": {"cores": os.cpu_count(), "system": platform.platform()},
    }
    print(json.dumps(result, indent=1) if options.json else _text(result))
    return 0


def _rate(work: Callable[[], float], seconds: float) -> float:
    """What `work` gets done a second."""
    begin_s, done = time.monotonic(), 0.0
    while (took_s := time.monotonic() - begin_s) < seconds:
        done += work()
    return done / took_s


def _text(result: dict[str, Any]) -> str:
    return "\n".join(f"{name:20}{value}" for name, value in result.items())


if __name__ == "__main__":
    raise SystemExit(main())
