"""What other samplers than the released one do to the demo's actions, and how much work they save.

    python benchmarks/samplers.py [--json] [--bundle FOLDER] [--episodes 10] [--seed 500000]
        [--student N BUNDLE]

The bundle plays held-out tasks with DDIM-10. At every decision each other sampler decides as well,
from the same features and the same noise; nothing of it is executed. Errors are of the first
action of a chunk, in the network's numbers, to DDIM-10: mean of |d|, 95th percentile of the largest
|d|, share of decisions in which the gripper flips, and the mean in units of that between two noise
seeds. `streams` counts how often the denoiser's weights are read, which is what a step costs on an
embedded GPU; the time of a decision's sampling on one CPU thread is beside it, as a ratio to
DDIM-10. Samplers that begin warm go on from their own decision before; those of parallel sweeps
keep its noise, and are compared with DDIM-10 from that noise. A student is another bundle, whose
denoiser was taught to need N evaluations (`dreamvla train --student N`); all else of it is alike.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.demo import BUNDLE
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.policy import Chunk, Policy
from dreamvla_edge.runtime.samplers import FloatArray, sample
from dreamvla_edge.runtime.samplers.named import named
from dreamvla_edge.sim.demo import ARM, SPECIFICATION
from dreamvla_edge.sim.episode import Episode
from dreamvla_edge.sim.evaluation.actors import PolicyActor
from dreamvla_edge.sim.evaluation.trial import play
from dreamvla_edge.sim.scene.layout import TRAINING
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.scene.views import Views
from dreamvla_edge.sim.tasks import FAMILIES

RELEASED = "ddim-10"
NAMES = (
    *(f"ddim-{n}" for n in (5, 4, 3, 2, 1)),
    *(f"dpm-{n}" for n in (10, 5, 4, 3)),
    *(f"parallel-{n}" for n in (1, 2, 3, 4, 5, 9)),
    *(f"parallel-4-warm-{n}" for n in (1, 2, 3, 4, 5)),
    "ddim-10-warm-50",
    "ddim-10-warm-20",
)
_OPEN = 0.5
"""Above and below it the head's number asks for different things of the gripper."""
_REPEATS = 3
"""A time is the median of so many rounds over all decisions, samplers in turn."""


class Watched(Policy):
    """A policy that keeps the features (P, D) of all its decisions."""

    seen: list[FloatArray]

    def act(self, *observed: Any) -> Chunk:
        """See `Policy.act`."""
        chunk = super().act(*observed)
        self.seen.append(chunk.features)
        return chunk


class Decided(NamedTuple):
    """First actions (n, 7) of all decisions, streams of each, and seconds in all."""

    actions: NDArray[np.float64]
    streams: float
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Plays, samples, prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--bundle", type=Path, default=BUNDLE)
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--seed", type=int, default=TRAINING)
    parser.add_argument("--student", nargs=2, action="append", default=[], metavar=("N", "BUNDLE"))
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        policy = stack.enter_context(Watched(options.bundle, threads=1))
        samplers: dict[str, Policy] = dict.fromkeys((RELEASED, *NAMES), policy)
        for count, bundle in options.student:
            student = stack.enter_context(Policy(Path(bundle), threads=1))
            samplers[f"student-{count}"] = student
        episodes = _played(policy, range(options.seed, options.seed + options.episodes))
        rounds = [
            {name: _decided(own, name, episodes) for name, own in samplers.items()}
            for _ in range(_REPEATS)
        ]
        other = _decided(policy, RELEASED, episodes, first_seed=1_000_000).actions
        same = _decided(policy, RELEASED, episodes, keep=True).actions
    last = rounds[-1]
    fresh = last[RELEASED].actions
    spread = float(np.abs(other - fresh).mean())
    rows: list[dict[str, Any]] = [{"sampler": "another noise", **_errors(other, fresh, spread)}]
    for name in list(samplers)[1:]:
        errors = _errors(last[name].actions, same if _keeps(name) else fresh, spread)
        ratio = median(own[name].seconds / own[RELEASED].seconds for own in rounds)
        rows.append({"sampler": name, "streams": last[name].streams, **errors, "time": ratio})
    result = {"bundle": str(options.bundle), "decisions": len(fresh), "samplers": rows}
    print(json.dumps(result, indent=1) if options.json else _text(result))
    return 0


def _played(policy: Watched, seeds: range) -> list[list[FloatArray]]:
    """Features of all decisions of each episode, families in turn."""
    scene, names, found = Scene(load_description(ARM)), [*FAMILIES], []
    with Views(scene, policy.bundle.manifest.specification.cameras[0].height) as views:
        for seed in seeds:
            policy.seen = []
            episode = Episode(scene, FAMILIES[names[seed % len(names)]], seed)
            play(episode, views, PolicyActor(policy), SPECIFICATION)
            found.append(policy.seen)
    return found


def _decided(
    policy: Policy,
    name: str,
    episodes: Sequence[Sequence[FloatArray]],
    first_seed: int = 0,
    keep: bool = False,
) -> Decided:
    """What a sampler decides from all features; keep: one noise for each episode."""
    own = policy.bundle.manifest.sampler
    assert own is not None
    spec, actions, streams = named(name, own.guidance), [], []
    begun = time.perf_counter()
    for number, episode in enumerate(episodes):
        random, before = np.random.default_rng(first_seed + number), None
        start = random.standard_normal((len(episode[0]), 7), np.float32)
        for features in episode:

            def predict(x: FloatArray, t: Any, features: FloatArray = features) -> FloatArray:
                return policy.predict_noise(x, t, features, spec.guidance)

            before = sample(start, predict, spec, before)
            actions.append(before.actions[0])
            streams.append(before.streams)
            if not (keep or _keeps(name)):
                start = random.standard_normal(start.shape, np.float32)
    seconds = time.perf_counter() - begun
    return Decided(np.array(actions, np.float64), float(np.mean(streams)), seconds)


def _keeps(name: str) -> bool:
    return name.startswith("parallel") and "warm" in name


def _errors(
    actions: NDArray[np.float64], wanted: NDArray[np.float64], spread: float
) -> dict[str, float]:
    far = np.abs(actions - wanted)
    flips = (actions[:, 6] > _OPEN) != (wanted[:, 6] > _OPEN)
    return {
        "mean": float(far.mean()),
        "p95": float(np.quantile(far.max(1), 0.95)),
        "flips": float(flips.mean()),
        "in_spreads": float(far.mean()) / spread,
    }


def _text(result: dict[str, Any]) -> str:
    lines = [
        f"{result['decisions']} decisions of {result['bundle']}",
        f"{'sampler':<20}{'streams':>8}{'mean':>10}{'p95':>10}{'flips %':>9}{'spreads':>9}"
        f"{'time':>7}",
    ]
    for row in result["samplers"]:
        lines.append(
            f"{row['sampler']:<20}{row.get('streams', 10):>8.1f}{row['mean']:>10.5f}"
            f"{row['p95']:>10.5f}{100 * row['flips']:>9.2f}{row['in_spreads']:>9.4f}"
            f"{row.get('time', 1):>7.2f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
