"""The demo robot's weights: a DreamVLA of two cores' size, from the expert's recordings.

    python -m dreamvla_edge.train.demo FOLDER [--seeds 0:300] [--steps 7000] [--runs dreams-0 …]

Each stage leaves a part of FOLDER and is not done again: `recordings` (sim.teach), `examples`,
`words`, `glimpses`, `eyes` and `pointing` (see the modules of these names), and one folder for each
run in `runs`: `dreams-N` and `plain-N` differ in the dream losses alone. Stopped with Ctrl-C or
otherwise, it goes on from the last state that was written. `weights.safetensors` in a run's folder
are its averaged weights, fp16, under the released names.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from torch import Tensor

from dreamvla_edge.export.data_set import DataSet, ModelHints
from dreamvla_edge.export.tokenizer import write_tokenizer
from dreamvla_edge.model.config import (
    DreamHeadConfig,
    ModelConfig,
    ResamplerConfig,
    TowerConfig,
)
from dreamvla_edge.model.initial import initial_network
from dreamvla_edge.runtime import fresh_python
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.preprocess import Preprocessing
from dreamvla_edge.runtime.tokenizer import Tokenizer
from dreamvla_edge.sim.demo import ARM, IMAGE, SPECIFICATION
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.scene.views import Views
from dreamvla_edge.sim.teach import MOTION

from .acting import Acting
from .batch import Batches
from .curves import draw_curves
from .examples import Examples, examples_of, in_head
from .eyes import Eyes, Sights, seen_by
from .glimpses import Glimpses, catch
from .others import others
from .plan import Plan
from .pointing import Asking, Pointing
from .run import LOG, Run
from .scene import SEMANTICS, known, shown
from .weights import write_weights
from .words import Reading, Words, sentences

_WIDTH, _HEADS, _LAYERS, _PATCH = 128, 2, 4, 16  # heads of 64 and patches of 16, as released
_TOWER = TowerConfig(_WIDTH, _LAYERS, _HEADS, 4 * _WIDTH)
_PATCHES = (IMAGE // _PATCH) ** 2

NETWORK = ModelConfig(
    window=4,
    backbone=_TOWER,
    vision=_TOWER,
    text=TowerConfig(width=32, layers=2, heads=1, hidden=128),
    resampler=ResamplerConfig(latents=6, layers=2, heads=2, head_width=64, hidden=4 * _WIDTH),
    dreams=(
        DreamHeadConfig("image", _PATCHES, 3 * _PATCH**2, layers=1, heads=_HEADS),
        DreamHeadConfig("depth", _PATCHES, _PATCH**2, layers=1, heads=_HEADS),
        DreamHeadConfig("sam", _PATCHES, SEMANTICS, layers=1, heads=_HEADS),
    ),
    shared_queries=False,
    queries_per_image=4,
    action_steps=3,
    action_head="dit",
    denoiser=_TOWER,
    image_size=IMAGE,
    patch=_PATCH,
    text_width=_WIDTH,
)
DATA_SET = DataSet(
    specification=SPECIFICATION,
    model=ModelHints(heads=_HEADS, text_heads=1, dream_heads=_HEADS, guidance=1.5),
)
PREPROCESSING = Preprocessing(size=IMAGE)
WEIGHTS = "weights.safetensors"
_RUNS = ("dreams-0", "plain-0", "dreams-1", "plain-1")
_GLIMPSES = 300_000
"""First seed of what the eyes see beside recordings."""
_EYES = Plan(steps=1, windows=32)
"""But for its steps; a window is one step with both pictures."""
_WORDS = Plan(steps=3000, windows=64, other_words=0.12)
"""A window is one sentence."""
_POINTING = 64
"""Windows of a step. With 16 of them no network found in 1500 steps which block is meant, with 64
one did after 350."""
_FROZEN = ("vision_encoder.", "perceiver_resampler.", "clip_model.")
"""What had its lessons before."""
_CORES, _PART = 2, 40
"""Processes that record and gather; recordings that one of them takes at a time."""
_SAVED = 1000
"""A state is written after so many steps: some minutes of work."""


def plan(name: str, steps: int) -> Plan:
    """Of a run by its name: `dreams-N` or `plain-N`, N the seed."""
    kind, _, seed = name.partition("-")
    return Plan(
        steps,
        dreams=kind == "dreams",
        frozen=_FROZEN,
        seed=int(seed),
    )


def teach(folder: Path, seeds: tuple[int, int]) -> None:
    """Has the expert recorded."""
    command = fresh_python.command("dreamvla_edge.sim.teach", folder, "--seeds")
    ends = [seeds[0] + (seeds[1] - seeds[0]) * i // _CORES for i in range(_CORES + 1)]
    parts = [
        subprocess.Popen([*command, f"{first}:{end}"], stdout=subprocess.DEVNULL)
        for first, end in zip(ends, ends[1:], strict=False)
        if first < end
    ]
    if any([part.wait() for part in parts]):
        raise SystemExit("the expert could not be recorded; see above")


def gather(recordings: Path, tokenizer: Path, folder: Path) -> None:
    """Saves examples of all recordings in a folder, with all that the scene knows of them."""
    folders = sorted(path for path in recordings.iterdir() if (path / MOTION).exists())
    parts = [folders[i : i + _PART] for i in range(0, len(folders), _PART)]
    own = folder.with_name(f"{folder.name}-parts")
    tasks = [(part, tokenizer, own / str(i)) for i, part in enumerate(parts)]
    with get_context("spawn").Pool(_CORES) as pool:  # a process that draws cannot be copied
        pool.starmap(_part, tasks, chunksize=1)
    Examples.join([Examples.load(own / str(i)) for i in range(len(parts))], folder)
    shutil.rmtree(own)


def _part(folders: Sequence[Path], tokenizer: Path, folder: Path) -> None:
    if folder.exists():
        return
    scene = Scene(load_description(ARM))
    with Views(scene, IMAGE) as views:
        dreams, sights = known(scene, views, folders, _PATCH)
    tokens = Tokenizer(tokenizer)
    asked = [others(scene, folder) for folder in folders]
    examples_of(
        *(shown(folders), SPECIFICATION, PREPROCESSING, _PATCH, tokens, NETWORK.window),
        dreams=dreams,
        sights=sights,
        others={
            "tokens": np.stack([[tokens(text)[0] for text in o.instructions] for o in asked]),
            "actions": in_head(np.concatenate([o.actions for o in asked])),
        },
    ).save(folder)


def open_eyes(
    examples: Examples, glimpses: Path, count: int, folder: Path, steps: int
) -> dict[str, Tensor]:
    """The vision path after its lessons, by the names of its weights.

    Half of what it sees are the demonstrations, the other half so many moments of other layouts.
    """
    if not glimpses.exists():
        joints = len(load_description(ARM).joints)
        poses = np.column_stack([examples.states[:, :joints], examples.states[:, -1] > 0])
        catch(poses, _GLIMPSES, count, IMAGE, glimpses, _CORES)
    eyes = Eyes(initial_network(NETWORK, _EYES.seed))
    recorded = Glimpses(examples.images, examples.sights["things"], examples.sights["places"])
    sources = (Glimpses.load(glimpses), recorded)
    lesson = Sights(eyes, sources, PREPROCESSING, _EYES.windows // len(sources))
    origin = f"{examples.sha256} and {count} glimpses"
    run = Run(eyes, lesson, replace(_EYES, steps=steps), folder, origin)
    _go(run, lambda: draw_curves({"eyes": folder / LOG}, folder))
    return {name: w for name, w in run.averaged().items() if not name.startswith("read_")}


def learn_words(tokenizer: Path, folder: Path) -> dict[str, Tensor]:
    """The text tower after its lessons, by the names of its weights."""
    words = Words(initial_network(NETWORK, _WORDS.seed))
    known = sentences(Tokenizer(tokenizer))
    lesson = Reading(words, known, _WORDS.windows, _WORDS.other_words)
    run = Run(words, lesson, _WORDS, folder, f"{len(known.meaning)} sentences")
    _go(run, lambda: None)
    return run.averaged()


def learn_to_point(
    examples: Examples, taught: Mapping[str, Tensor], tokenizer: Path, folder: Path, steps: int
) -> dict[str, Tensor]:
    """The weights that the lesson in pointing reached, and those of eyes and words: `taught`."""
    network = initial_network(NETWORK, 0)
    network.load_state_dict({**network.state_dict(), **taught})
    before = {f"network.{name}": weight.clone() for name, weight in network.state_dict().items()}
    plan = Plan(steps, windows=_POINTING, frozen=tuple(f"network.{name}" for name in _FROZEN))
    batches = Batches(
        *(examples, NETWORK, PREPROCESSING, False, 0.0),
        seen_by(network, examples, PREPROCESSING),
    )
    pointing = Pointing(network)
    lesson = Asking(pointing, examples, batches, sentences(Tokenizer(tokenizer)), plan.windows)
    run = Run(pointing, lesson, plan, folder, examples.sha256)
    _go(run, lambda: draw_curves({"pointing": folder / LOG}, folder))
    moved = {n: w for n, w in run.averaged().items() if n in before and not w.equal(before[n])}
    return {**taught, **{name.removeprefix("network."): weight for name, weight in moved.items()}}


def train(
    name: str, examples: Examples, taught: Mapping[str, Tensor], steps: int, folder: Path
) -> None:
    """One run to its end, and its weights; taught: those that had their lessons before."""
    own = plan(name, steps)
    network = initial_network(NETWORK, own.seed)
    network.load_state_dict({**network.state_dict(), **taught})
    seen = seen_by(network, examples, PREPROCESSING)
    batches = Batches(examples, NETWORK, PREPROCESSING, own.dreams, own.other_words, seen)
    lesson = Acting(network, batches, own.windows)
    run = Run(network, lesson, own, folder, examples.sha256)

    def kept() -> None:
        write_weights(run.averaged(), folder / WEIGHTS)
        draw_curves({p.parent.name: p for p in folder.parent.glob(f"*/{LOG}")}, folder.parent)

    _go(run, kept)


def _go(run: Run, saved: Callable[[], None]) -> None:
    """A run to its end; saved: called with every state that is written."""

    def tell(line: dict[str, float]) -> None:
        print(run.folder.name, *(f"{key} {value:.4g}" for key, value in line.items()), flush=True)

    while run.step < run.plan.steps:
        run.go(run.step + _SAVED, tell)
        run.save()
        saved()


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what is not done yet; the exit status."""
    options = _parser().parse_args(arguments)
    folder: Path = options.folder
    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder / "tokenizer.json")
    kept = folder / "examples"
    if not kept.exists():
        teach(folder / "recordings", options.seeds)
        print("gathering examples", flush=True)
        gather(folder / "recordings", folder / "tokenizer.json", kept)
    examples = Examples.load(kept)
    print(f"{len(examples)} steps of {len(examples.tokens)} episodes, {examples.sha256}")
    print(f"{np.mean(examples.moves):.2f} of all patches move", flush=True)
    words = learn_words(folder / "tokenizer.json", folder / "words")
    eyes = open_eyes(examples, folder / "glimpses", options.glimpses, folder / "eyes", options.eyes)
    taught = learn_to_point(
        *(examples, {**words, **eyes}, folder / "tokenizer.json"),
        *(folder / "pointing", options.pointing),
    )
    for name in options.runs:
        train(name, examples, taught, options.steps, folder / "runs" / name)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="train-demo", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("folder", type=Path, help="where everything goes")
    parser.add_argument("--seeds", type=_seeds, default=(0, 300), help="FROM:TO, TO not included")
    parser.add_argument("--glimpses", type=int, default=120_000, help="layouts for the eyes")
    parser.add_argument("--eyes", type=int, default=12_000, help="steps for the eyes")
    parser.add_argument("--pointing", type=int, default=1500, help="steps for pointing")
    parser.add_argument("--steps", type=int, default=7_000, help="of every run")
    parser.add_argument("--runs", nargs="+", default=[*_RUNS], help="dreams-N or plain-N")
    return parser


def _seeds(text: str) -> tuple[int, int]:
    first, _, end = text.partition(":")
    return int(first), int(end)


if __name__ == "__main__":
    sys.exit(main())
