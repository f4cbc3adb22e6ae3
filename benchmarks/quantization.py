"""Precision and sampler: what each costs in size, time and likeness to the bundle as exported.

    python benchmarks/quantization.py [--json] [--bundle FOLDER] [--data RECORDINGS] [--frames 200]

For every preset of `calibrate/presets/` and none, and for some samplers: size of the bundle without
text and dreams [MB], time from observation to action as a ratio to the bundle as exported with its
own sampler (median of paired rounds, one CPU thread), mean error of the first action as a share of
what another noise seed changes, and gripper flips. Data: the expert's tries at twelve seeds if none
is given; every fifth episode is held out and judged on. Success in the scene is what `dreamvla eval
NEW --against OLD` says of a bundle that `dreamvla quantize` made.
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
from typing import Any

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

SAMPLERS = ("ddim-10", "ddim-5", "dpm-5", "parallel-4", "parallel-4-warm-3")
_FIRST_SEED = 210_000
_EPISODES, _HELD_OUT, _ROUNDS, _TIMED = 12, 5, 7, 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Quantizes, decides, prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--bundle", type=Path, default=BUNDLE)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--frames", type=int, default=200)
    options = parser.parse_args(arguments)
    opened = open_bundle(options.bundle)
    specification = opened.manifest.specification
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        data = options.data or _taught(folder / "recordings")
        shown = episodes(data, specification)
        require_plausible(shown, data)
        held_out = shown[::_HELD_OUT]
        learnt = tuple(e for i, e in enumerate(shown) if i % _HELD_OUT)
        judged = list(islice(moments(held_out, data, specification), options.frames))
        plans = {path.stem: load_plan(path.stem) for path in sorted(PRESETS.glob("*.toml"))}
        names = tuple({name for plan in plans.values() for name in watched(plan)})
        seen = observe(opened, names, moments(learnt, data, specification), options.frames)
        bundles = {"as exported": opened}
        for name, plan in plans.items():
            bundles[name] = quantize(opened, plan, seen, folder / name)
        rows = _rows(bundles, opened, judged)
    print(
        json.dumps({"frames": len(judged), "rows": rows}, indent=1) if options.json else _text(rows)
    )
    return 0


def _taught(folder: Path) -> Path:
    scene = Scene(load_description(ARM))
    with Views(scene, IMAGE) as views:
        for number in range(_EPISODES):
            seed, family = _FIRST_SEED + number, [*FAMILIES.values()][number % len(FAMILIES)]
            teach(scene, views, family, seed, folder / f"{family.name}-{seed}")
    return folder


def _rows(
    bundles: dict[str, Bundle], opened: Bundle, judged: Sequence[Moment]
) -> list[dict[str, Any]]:
    rows = []
    seeded = {keep: decisions(opened, judged, 2, keep) for keep in (False, True)}
    wanted = {keep: decisions(opened, judged, 1, keep) for keep in (False, True)}
    for name, bundle in bundles.items():
        for sampler in SAMPLERS:
            spec = replacement(bundle.manifest, sampler)
            keep = spec is not None and spec.warm_sweeps is not None
            mine = decisions(bundle, judged, 1, keep, sampler=spec)
            found = likeness(mine, wanted[keep], seeded[keep], threshold_of(opened))
            rows.append(
                {
                    "precision": name,
                    "sampler": sampler,
                    "mb": _megabytes(bundle),
                    "time": _time_ratio(bundle, sampler, opened, judged),
                    "error_share": found.error_share,
                    "flips": found.flips,
                    "seed_flips": found.seed_flips,
                }
            )
    return rows


def _megabytes(bundle: Bundle) -> float:
    """Of what a robot needs that is told nothing new and does not dream."""
    specs = bundle.manifest.subgraphs
    needed = [n for n in specs if n != "text" and not n.startswith("dream_")]
    return sum(bundle.file(f).stat().st_size for n in needed for f in specs[n].files) / 1e6


def _time_ratio(bundle: Bundle, sampler: str, opened: Bundle, judged: Sequence[Moment]) -> float:
    """Of observation to action, rounds of both in turn."""
    ratios = []
    spec = replacement(bundle.manifest, sampler)
    with Policy(bundle, threads=1, sampler=spec) as one, Policy(opened, threads=1) as other:
        for policy in (one, other):
            policy.reset(judged[0].instruction)
        for _ in range(_ROUNDS):
            one_s, other_s = (_seconds(policy, judged[:_TIMED]) for policy in (one, other))
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


def _text(rows: Sequence[dict[str, Any]]) -> str:
    lines = [
        f"{'precision':<14}{'sampler':<20}{'MB':>6}{'time':>7}{'error/seeds':>13}{'flips %':>9}"
    ]
    for row in rows:
        lines.append(
            f"{row['precision']:<14}{row['sampler']:<20}{row['mb']:>6.1f}{row['time']:>7.2f}"
            f"{row['error_share']:>13.4f}{100 * row['flips']:>9.2f}"
        )
    lines.append(f"between noise seeds the gripper flips in {100 * rows[0]['seed_flips']:.2f} %")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
