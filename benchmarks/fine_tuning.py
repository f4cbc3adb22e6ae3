"""What 20 recorded episodes of a new wording teach the demo's network: success before and after.

    python benchmarks/fine_tuning.py [--json] [--episodes 20] [--steps 1000] [--trials 40]

Lifting a block is called something that the network never heard (`PHRASE`). The expert is
recorded with these words on training seeds, `dreamvla train` fine-tunes the shipped weights on
them as a LeRobot data set, and both networks do the task on the same held-out seeds, told in the
new words. Minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from dreamvla_edge.demo import BUNDLE, DATA_SET, WEIGHTS
from dreamvla_edge.export.data_set import load_data_set
from dreamvla_edge.export.export import export
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.policy import Policy
from dreamvla_edge.runtime.recording.lerobot import write_lerobot
from dreamvla_edge.runtime.recording.recording import open_recording
from dreamvla_edge.sim.demo import ARM, IMAGE, SPECIFICATION
from dreamvla_edge.sim.episode import Episode
from dreamvla_edge.sim.evaluation.actors import PolicyActor
from dreamvla_edge.sim.evaluation.statistics import compare, wilson
from dreamvla_edge.sim.evaluation.trial import play
from dreamvla_edge.sim.scene.layout import TRAINING
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.scene.views import Views
from dreamvla_edge.sim.tasks import FAMILIES
from dreamvla_edge.sim.teach import teach

PHRASE = "yoink the {colour} one"
_FIRST_SEED = 200_000
"""Of the recordings: seeds of training that the network was not trained on."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Records, trains, measures, prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--trials", type=int, default=40)
    options = parser.parse_args(arguments)
    family = replace(FAMILIES["lift"], phrasings=(PHRASE,), held_out=(PHRASE,))
    scene = Scene(load_description(ARM))
    with TemporaryDirectory() as temporary, Views(scene, IMAGE) as views:
        folder = Path(temporary)
        for seed in range(_FIRST_SEED, _FIRST_SEED + options.episodes):
            teach(scene, views, family, seed, folder / "recordings" / str(seed))
        (folder / "data").mkdir()
        recordings = [open_recording(path) for path in sorted((folder / "recordings").iterdir())]
        write_lerobot(recordings, folder / "data")
        command = [sys.executable, "-m", "dreamvla_edge.cli", "train", str(folder / "data")]
        command += ["--from", str(WEIGHTS), "--data-set", str(DATA_SET), "--text"]
        command += ["--steps", str(options.steps), "-o", str(folder / "tuned"), "-q"]
        subprocess.run(command, check=True)
        tuned = folder / "tuned"
        data_set = load_data_set(str(tuned / "data_set.toml"))
        export(tuned / "weights.safetensors", folder / "bundle", data_set)

        def outcomes(bundle: Path) -> list[bool]:
            with Policy(bundle, threads=1) as policy:
                actor = PolicyActor(policy)
                return [
                    play(Episode(scene, family, seed), views, actor, SPECIFICATION).trial.success
                    for seed in range(TRAINING, TRAINING + options.trials)
                ]

        before, after = outcomes(BUNDLE), outcomes(folder / "bundle")
    difference = compare(after, before)
    result: dict[str, Any] = {
        "phrase": PHRASE,
        "episodes": options.episodes,
        "steps": options.steps,
        "trials": options.trials,
        "before": wilson(sum(before), len(before))._asdict(),
        "after": wilson(sum(after), len(after))._asdict(),
        "difference": difference._asdict(),
    }
    print(json.dumps(result, indent=1) if options.json else _text(result))
    return 0


def _text(result: dict[str, Any]) -> str:
    before, after, differ = (result[key] for key in ("before", "after", "difference"))
    return (
        f'"{result["phrase"]}", {result["trials"]} trials on held-out seeds:'
        f" {100 * before['mean']:.0f} % before, {100 * after['mean']:.0f} % after"
        f" {result['episodes']} episodes ({100 * differ['mean']:+.0f} points,"
        f" McNemar p = {differ['p']:.2g})"
    )


if __name__ == "__main__":
    sys.exit(main())
