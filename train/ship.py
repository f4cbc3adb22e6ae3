"""From finished runs to the robot that ships: bundles, evaluations, the model card.

    python -m dreamvla_edge.train.ship FOLDER DEMO [--run dreams-0] [--episodes 200]

FOLDER is that of `train.demo`. Every run in it is exported and evaluated, each only once, in
`bundle` and `evaluation` beside its weights; then one of them is copied to DEMO (the folder
`demo/`), with its weights, data-set file, curves and CARD.md, which says what all runs came to.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dreamvla_edge.export.data_set import as_toml
from dreamvla_edge.export.export import export
from dreamvla_edge.runtime.bundle import sha256
from dreamvla_edge.runtime.manifest import MANIFEST_NAME
from dreamvla_edge.sim.evaluation.actors import CONTROLS
from dreamvla_edge.sim.evaluation.evaluation import Candidate, Log, evaluate, trials
from dreamvla_edge.sim.evaluation.summary import comparison, summary
from dreamvla_edge.sim.scene.layout import TRAINING

from .curves import CURVES
from .demo import DATA_SET, NETWORK, WEIGHTS
from .examples import Examples
from .run import LOG

CARD = "CARD.md"
_CONTROLS = 50
"""Episodes of each control."""


def evaluated(run: Path, episodes: int, workers: int, controls: bool) -> Log:
    """A run's trials; its bundle is made where it is missing."""
    bundle = run / "bundle"
    if not (bundle / MANIFEST_NAME).exists():
        export(run / WEIGHTS, bundle, DATA_SET)
    seeds = range(TRAINING, TRAINING + episodes)
    asked = trials(seeds) + (trials(seeds[:_CONTROLS], tuple(CONTROLS)) if controls else [])

    def tell(done: int, of: int) -> None:
        print(f"\r{run.name}: {done} of {of} trials", end="", file=sys.stderr, flush=True)

    with Log(run / "evaluation") as log:
        evaluate(Candidate(bundle), asked, log, workers, tell)
    print(file=sys.stderr)
    log.done = {trial: log.done[trial] for trial in asked}
    return log


def ship(run: Path, card: str, demo: Path) -> None:
    """Puts a run in the place of what shipped before."""
    for name in ("bundle", WEIGHTS, CURVES, CARD, "data_set.toml"):
        old = demo / name
        shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
    shutil.copytree(run / "bundle", demo / "bundle")
    shutil.copy(run / WEIGHTS, demo)
    shutil.copy(run.parent / CURVES, demo)
    (demo / "data_set.toml").write_text(as_toml(DATA_SET), encoding="utf-8")
    (demo / CARD).write_text(card, encoding="utf-8")


def card(run: Path, logs: Mapping[str, Log], examples: Examples) -> str:
    """The model card."""
    documents = {name: summary(log.done) for name, log in logs.items()}
    own, size = documents[run.name], (run / WEIGHTS).stat().st_size
    count = sum(1 for _ in (run / LOG).open())
    last = json.loads((run / LOG).read_text().splitlines()[-1])
    families = "".join(
        f"| {name} | {_percent(found)} | {found['episodes']} |\n"
        for name, found in [*own["families"].items(), ("all", own["success"])]
    )
    controls = "".join(
        f"| {name} | {_percent(found)} | {found['episodes']} |\n"
        for name, found in own["controls"].items()
    )
    runs = "".join(
        f"| {name} | {_percent(document['success'])} | {_losses(run.parent / name)} |\n"
        for name, document in sorted(documents.items())
    )
    return f"""# The demo's network

A DreamVLA of {size / 1e6:.1f} MB (fp16 safetensors, released names) for an SO-101 in the scene of
`docs/tasks.md`: window {NETWORK.window}, {NETWORK.image_size} pixels, width
{NETWORK.backbone.width}, {NETWORK.backbone.layers} layers. It knows this scene and nothing else;
not for a real arm.

Trained by `make train-demo` and put here by `python -m dreamvla_edge.train.ship` (`train/`,
`docs/training.md`), at commit `{_commit()}`.

| | |
|---|---|
| run | {run.name}, {last["step"]} steps |
| log | {count} lines, sha256 `{sha256(run / LOG)}` |
| data | {len(examples)} steps of {len(examples.tokens)} episodes, sha256 `{examples.sha256}` |
| weights | sha256 `{sha256(run / WEIGHTS)}` |

## What it can do

Seeds from {TRAINING} on and phrasings that training never had; lock step, 95 % intervals (Wilson).

| family | success | episodes |
|---|---|---|
{families}
| control | success | episodes |
|---|---|---|
{controls}
## The effect of dreaming

`dreams-N` and `plain-N` differ in the dream losses alone: the same data, eyes, steps and seed N.

| run | success | last losses |
|---|---|---|
{runs}
{_compared(logs)}
![Losses over the steps of training]({CURVES})
"""


def _compared(logs: Mapping[str, Log]) -> str:
    """A sentence for each pair of runs that differ in dreaming alone."""
    lines = []
    for name, log in sorted(logs.items()):
        plain = logs.get(name.replace("dreams", "plain"))
        if name.startswith("dreams") and plain is not None:
            found = comparison(log.done, plain.done)
            lines.append(
                f"{name} against {name.replace('dreams', 'plain')} on the same"
                f" {found['episodes']} seeds: {100 * found['difference']:+.1f} points, McNemar"
                f" p = {found['p']:.2g}.\n"
            )
    return "\n".join(lines) or "No pair of runs to compare yet.\n"


def _losses(run: Path) -> str:
    last: dict[str, Any] = json.loads((run / LOG).read_text().splitlines()[-1])
    other = ("step", "steps_per_s", "loss")
    return ", ".join(f"{key} {value:.3g}" for key, value in last.items() if key not in other)


def _percent(found: Mapping[str, float]) -> str:
    mean, low, high = (100 * found[key] for key in ("mean", "low", "high"))
    return f"{mean:.0f} % ({low:.0f} to {high:.0f})"


def _commit() -> str:
    said = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    return said.stdout.strip()


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluates all, ships one; the exit status."""
    parser = argparse.ArgumentParser(prog="ship", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, help="that of train.demo")
    parser.add_argument("demo", type=Path, help="what ships")
    parser.add_argument("--run", default="dreams-0", help="the one that ships")
    parser.add_argument("--episodes", type=int, default=200, help="of every run")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args(arguments)
    runs = options.folder / "runs"
    logs = {
        path.parent.name: evaluated(
            path.parent, options.episodes, options.workers, path.parent.name == options.run
        )
        for path in sorted(runs.glob(f"*/{WEIGHTS}"))
    }
    run = runs / options.run
    ship(run, card(run, logs, Examples.load(options.folder / "examples")), options.demo)
    return 0


if __name__ == "__main__":
    sys.exit(main())
