"""Precision and sampler: what each costs in size, memory, time and likeness to the exported bundle.

    python benchmarks/quantization.py [--json] [--networks demo calvin] [--data RECORDINGS]
        [--frames 200] [--finalists cpu:ddim-10 …] [--episodes 200] [--workers 1]

For every preset of `calibrate/presets/` and none, and for some samplers: size of the bundle without
text and dreams [MB], peak memory of a process with its policy [MB], time from observation to action
as a ratio to the bundle as exported with its own sampler (median of paired rounds, one CPU thread),
mean error of the first action as a share of what another noise seed changes, and gripper flips; of
the demo's network and of a synthetic one of the released CALVIN size, whose weights are random.
Then the finalists, at most eight, do the tasks of the demo's scene, on the same seeds as the bundle
as exported.

Data of the demo: the expert's tries at twelve seeds if no recordings are given; every fifth episode
is held out and judged on. The synthetic network is calibrated and judged on random observations,
since any will do. It is exported into build/benchmarks, with 8 GB of memory, and kept there.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from dreamvla_edge.calibrate.accept import decisions, likeness, threshold_of
from dreamvla_edge.calibrate.data import Moment, episodes, moments, require_plausible
from dreamvla_edge.calibrate.observe import observe
from dreamvla_edge.calibrate.plan import PRESETS, load_plan
from dreamvla_edge.calibrate.quantize import quantize, watched
from dreamvla_edge.demo import BUNDLE
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.bundle import Bundle, open_bundle
from dreamvla_edge.runtime.policy import Policy
from dreamvla_edge.runtime.samplers.named import replacement
from dreamvla_edge.sim.demo import ARM, IMAGE
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.scene.views import Views
from dreamvla_edge.sim.tasks import FAMILIES
from dreamvla_edge.sim.teach import teach
from finalists import MOST, played
from material import ROOT, prepared
from observations import INSTRUCTION, observation
from process import Worker

EXPORTED = "as exported"
FINALISTS = ("cpu:ddim-10", "cpu:parallel-4", "orin:parallel-4", "thor:parallel-4", "cpu:ddim-5")
_FIRST_SEED, _EPISODES, _HELD_OUT = 210_000, 12, 5


class Network(NamedTuple):
    """What is measured of one network.

    samplers; frames: judged on at most; rounds of `timed` decisions each.
    """

    samplers: tuple[str, ...]
    frames: int
    rounds: int
    timed: int


NETWORKS = {
    "demo": Network(
        ("ddim-10", "ddim-5", "dpm-5", "parallel-4", "parallel-4-warm-3"), 10**6, 7, 20
    ),
    "calvin": Network(("ddim-10", "parallel-4"), 20, 3, 4),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Quantizes, decides, plays, prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=[*NETWORKS])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--finalists", nargs="*", default=FINALISTS, metavar="PRESET:SAMPLER")
    parser.add_argument("--episodes", type=int, default=200)
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args(arguments)
    if len(options.finalists) > MOST:
        parser.error(f"at most {MOST} finalists")
    told: dict[str, Any] = {"networks": {}, "finalists": []}
    with TemporaryDirectory() as temporary:
        for name in options.networks:
            folder = Path(temporary) / name
            folder.mkdir()
            learnt, judged, opened = (_shown if name == "demo" else _drawn)(options, folder)
            bundles = _quantized(opened, learnt, options.frames, folder)
            told["networks"][name] = _rows(bundles, opened, judged, NETWORKS[name])
            if name == "demo" and options.finalists:
                told["finalists"] = played(
                    [("", opened.path, None)]
                    + [
                        (named, bundles[named.split(":")[0]].path, named.split(":")[1])
                        for named in options.finalists
                    ],
                    options.episodes,
                    options.workers,
                    Path(temporary),
                )
    print(json.dumps(told, indent=1) if options.json else _text(told))
    return 0


Material = tuple[list[Moment], list[Moment], Bundle]
"""Moments to calibrate on, moments to judge on, the bundle as exported."""


def _shown(options: argparse.Namespace, folder: Path) -> Material:
    opened = open_bundle(BUNDLE)
    specification = opened.manifest.specification
    data = options.data or _taught(folder / "recordings")
    shown = episodes(data, specification)
    require_plausible(shown, data)
    learnt = tuple(e for i, e in enumerate(shown) if i % _HELD_OUT)
    both = (
        list(islice(moments(part, data, specification), options.frames))
        for part in (learnt, shown[::_HELD_OUT])
    )
    return *both, opened  # type: ignore[return-value]


def _drawn(options: argparse.Namespace, folder: Path) -> Material:
    made = prepared(ROOT / "build" / "benchmarks", "calvin", _tell)
    opened = open_bundle(made.bundle)
    count = min(NETWORKS["calvin"].frames, options.frames)
    seen = [observation(opened.manifest, step) for step in range(2 * count)]
    all_ = [
        Moment(INSTRUCTION, step % count == 0, one.primary, one.wrist, one.state)
        for step, one in enumerate(seen)
    ]
    return all_[:count], all_[count:], opened


def _taught(folder: Path) -> Path:
    scene = Scene(load_description(ARM))
    with Views(scene, IMAGE) as views:
        for number in range(_EPISODES):
            seed, family = _FIRST_SEED + number, [*FAMILIES.values()][number % len(FAMILIES)]
            teach(scene, views, family, seed, folder / f"{family.name}-{seed}")
    return folder


def _quantized(
    opened: Bundle, learnt: Sequence[Moment], frames: int, folder: Path
) -> dict[str, Bundle]:
    plans = {path.stem: load_plan(path.stem) for path in sorted(PRESETS.glob("*.toml"))}
    names = tuple({name for plan in plans.values() for name in watched(plan)})
    _tell(f"observing {opened.path}")
    seen = observe(opened, names, learnt, frames)
    bundles = {EXPORTED: opened}
    for name, plan in plans.items():
        bundles[name] = quantize(opened, plan, seen, folder / name, progress=_tell)
    return bundles


def _rows(
    bundles: dict[str, Bundle], opened: Bundle, judged: Sequence[Moment], network: Network
) -> list[dict[str, Any]]:
    rows = []
    judged = judged[: network.frames]
    kinds = {_keeps(opened, name) for name in network.samplers}
    seeded = {keep: decisions(opened, judged, 2, keep) for keep in kinds}
    wanted = {keep: decisions(opened, judged, 1, keep) for keep in kinds}
    for name, bundle in bundles.items():
        memory = _peak_megabytes(bundle)
        for sampler in network.samplers:
            _tell(f"{bundle.manifest.name}: {name}, {sampler}")
            spec, keep = replacement(bundle.manifest, sampler), _keeps(opened, sampler)
            mine = decisions(bundle, judged, 1, keep, sampler=spec)
            found = likeness(mine, wanted[keep], seeded[keep], threshold_of(opened))
            rows.append(
                {
                    "precision": name,
                    "sampler": sampler,
                    "mb": _megabytes(bundle),
                    "whole_mb": sum(f.stat().st_size for f in bundle.path.iterdir()) / 1e6,
                    "peak_rss_mb": memory,
                    "time": _time_ratio(bundle, sampler, opened, judged, network),
                    "frames": found.frames,
                    "error_share": found.error_share,
                    "flips": found.flips,
                    "seed_flips": found.seed_flips,
                }
            )
    return rows


def _keeps(opened: Bundle, sampler: str) -> bool:
    """Whether the sampler keeps its noise for an episode."""
    spec = replacement(opened.manifest, sampler)
    return spec is not None and spec.warm_sweeps is not None


def _megabytes(bundle: Bundle) -> float:
    """Of what a robot needs that is told nothing new and does not dream."""
    specs = bundle.manifest.subgraphs
    needed = [n for n in specs if n != "text" and not n.startswith("dream_")]
    return sum(bundle.file(f).stat().st_size for n in needed for f in specs[n].files) / 1e6


def _peak_megabytes(bundle: Bundle) -> float:
    """Of a process that does nothing but act, until the window slides."""
    with Worker("policy", bundle.path, bundle.path, 1) as worker:
        for step in range(bundle.manifest.network.window + 1):
            worker.ask("act", step=step)
        return float(worker.ask("about")["peak_rss_mb"])


def _time_ratio(
    bundle: Bundle, sampler: str, opened: Bundle, judged: Sequence[Moment], network: Network
) -> float:
    """Of observation to action, rounds of both in turn."""
    ratios = []
    spec = replacement(bundle.manifest, sampler)
    with Policy(bundle, threads=1, sampler=spec) as one, Policy(opened, threads=1) as other:
        for policy in (one, other):
            policy.reset(judged[0].instruction)
            _seconds(policy, judged[: opened.manifest.network.window])
        for _ in range(network.rounds):
            one_s, other_s = (_seconds(policy, judged[: network.timed]) for policy in (one, other))
            ratios.append(one_s / other_s)
    return median(ratios)


def _seconds(policy: Policy, data: Sequence[Moment]) -> float:
    taken = 0.0
    for moment in data:
        begun = time.perf_counter()
        policy.act(moment.primary, moment.wrist, moment.state)
        taken += time.perf_counter() - begun
        policy.settle()  # the next window is computed while an arm moves
    return taken


def _text(told: dict[str, Any]) -> str:
    """Tables of docs/quantization.md."""
    lines = []
    for name, rows in told["networks"].items():
        lines += [
            f"{name}: {rows[0]['frames']} frames; between noise seeds the gripper flips in"
            f" {100 * rows[0]['seed_flips']:.2f} %",
            "",
            "| precision | sampler | MB | whole | peak MB | time | error/seeds | flips % |",
            "|---|---|---|---|---|---|---|---|",
            *(
                f"| {row['precision']} | {row['sampler']} | {row['mb']:.1f} |"
                f" {row['whole_mb']:.1f} | {row['peak_rss_mb']:.0f} | {row['time']:.2f} |"
                f" {row['error_share']:.3f} | {100 * row['flips']:.2f} |"
                for row in rows
            ),
            "",
        ]
    if told["finalists"]:
        lines += [
            f"{told['finalists'][0]['episodes']} episodes of the demo's scene",
            "",
            "| | success | 95 % | against as exported, at least |",
            "|---|---|---|---|",
            *(
                f"| {row['name'] or EXPORTED} | {row['mean']:.3f} | {row['low']:.3f} to"
                f" {row['high']:.3f} | {row['difference']:+.3f}, {row['at_least']:+.3f} |"
                for row in told["finalists"]
            ),
        ]
    return "\n".join(lines)


def _tell(text: str) -> None:
    print(text, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
