"""`dreamvla train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .command import example, shared_options
from .number import Number
from .report import Report

if TYPE_CHECKING:
    from dreamvla_edge.runtime.recording.demonstration import Demonstration
    from dreamvla_edge.runtime.specification import Specification

WEIGHTS, DATA_SET, WORDS = "weights.safetensors", "data_set.toml", "tokenizer.json"
_SAVED = 500
"""Steps between two states that a run can go on from."""


@click.command(
    "train",
    epilog=example(
        "dreamvla train dataset --from checkpoint.pth --data-set so101.toml -o tuned",
        "dreamvla train dataset --from tuned/weights.safetensors --data-set so101.toml -o more",
    ),
)
@click.argument("dataset", type=click.Path(path_type=Path))
@click.option(
    "--from",
    "checkpoint",
    type=click.Path(path_type=Path),
    required=True,
    help="Weights to begin with: a released file or .safetensors.",
)
@click.option(
    "--data-set",
    required=True,
    help="As for export: heads and guidance of the checkpoint; for CALVIN's layout also what its"
    " numbers mean.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder of the run."
)
@click.option("--steps", type=click.IntRange(1), default=2000, show_default=True)
@click.option("--windows", type=click.IntRange(1), default=16, show_default=True, help="A step.")
@click.option("--rate", type=Number(0, min_open=True), default=1e-4, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--dreams/--no-dreams", default=True, help="Whether to learn to dream as well.")
@click.option(
    "--student",
    type=click.IntRange(1, 2),
    help="Teach the denoiser to do in so many evaluations what it does in all of them, instead.",
)
@click.option("--text/--no-text", default=False, help="Whether to train the text tower as well.")
@shared_options
def command(
    dataset: Path,
    checkpoint: Path,
    data_set: str,
    output: Path,
    steps: int,
    windows: int,
    rate: float,
    seed: int,
    dreams: bool,
    text: bool,
    student: int | None,
    report: Report,
) -> None:
    """Fine-tune a checkpoint on a data set: LeRobot v3.0, or CALVIN's layout.

    DATASET is what `dreamvla record export` wrote. Of the dreams only the image's is trained:
    recordings hold no depth and no features. With --student the denoiser alone learns; export it
    and give `--sampler student-N` to what uses the bundle, or to `quantize`, which keeps it. A run
    that was stopped goes on when the same command is given again. The folder gets weights (fp16)
    and a data-set file for `dreamvla export`, a log and its curves. On the CPU, in bfloat16. Needs
    the extra [train].
    """
    from msgspec.structs import replace

    from dreamvla_edge.export.data_set import DataSet, as_toml, load_data_set

    hints = load_data_set(data_set)
    shown, specification = _demonstrations(dataset, hints.specification)

    from dreamvla_edge.export.export import hints as as_hints
    from dreamvla_edge.export.tokenizer import write_tokenizer
    from dreamvla_edge.model.checkpoint import load_network
    from dreamvla_edge.runtime.bundle import sha256
    from dreamvla_edge.runtime.errors import OutputError
    from dreamvla_edge.runtime.preprocess import Preprocessing
    from dreamvla_edge.runtime.tokenizer import Tokenizer
    from dreamvla_edge.train.acting import Acting
    from dreamvla_edge.train.batch import Batches
    from dreamvla_edge.train.curves import CURVES, draw_curves
    from dreamvla_edge.train.examples import examples_of
    from dreamvla_edge.train.plan import Plan
    from dreamvla_edge.train.run import LOG, Lesson, Run
    from dreamvla_edge.train.student import Following, frozen
    from dreamvla_edge.train.weights import write_weights

    report.progress(f"reading {checkpoint}")
    network = load_network(checkpoint, as_hints(hints))
    config, size = network.config, Preprocessing(size=network.config.image_size)
    output.mkdir(parents=True, exist_ok=True)
    write_tokenizer(output / WORDS)
    report.progress(f"reading {len(shown)} episodes of {dataset}")
    examples = examples_of(
        *(shown, specification, size, config.patch, Tokenizer(output / WORDS), config.window)
    )
    plan = Plan(
        steps,
        windows=windows,
        rate=rate,
        warm_up=min(100, steps // 10),
        dreams=dreams and not student,
        frozen=frozen(network) if student else () if text else ("clip_model.",),
        seed=seed,
    )
    batches = Batches(examples, config, size, plan.dreams, other_words=0.0)
    lesson: Lesson = Acting(network, batches, windows)
    if student:
        taught = hints.model.guidance, hints.model.sampler_steps
        lesson = Following(network, batches, windows, *taught, student)
    try:
        origin = f"{sha256(checkpoint)} {examples.sha256} {student or 'no'} student"
        run = Run(network, lesson, plan, output, origin)
    except ValueError as error:
        raise OutputError(
            str(error), "an empty folder, or one of the same run to go on with", "give another -o"
        ) from error
    if run.step:
        report.text(f"going on at step {run.step}")

    def tell(line: dict[str, float]) -> None:
        report.progress("  ".join(f"{name} {value:.4g}" for name, value in line.items()))

    while run.step < steps:
        run.go(run.step + _SAVED, tell)
        run.save()
    write_weights(run.averaged(), output / WEIGHTS)
    draw_curves({"": output / LOG}, output)
    model = replace(hints.model, guidance=1.0) if student else hints.model
    data = DataSet(specification=specification, model=model)
    (output / DATA_SET).write_text(as_toml(data), encoding="utf-8")
    report.text(
        f"{output / WEIGHTS}: after {run.step} steps on {len(examples)} frames of"
        f" {len(shown)} episodes; curves in {output / CURVES}"
    )
    report.next(
        *("export", output / WEIGHTS, "--data-set", output / DATA_SET, "-o", output / "bundle")
    )
    report.document(
        {
            "weights": output / WEIGHTS,
            "data_set": output / DATA_SET,
            "curves": output / CURVES,
            "steps": run.step,
            "frames": len(examples),
            "examples_sha256": examples.sha256,
        }
    )


def _demonstrations(
    folder: Path, meant: Specification
) -> tuple[tuple[Demonstration, ...], Specification]:
    """Episodes of a data set, and what their numbers mean."""
    from dreamvla_edge.runtime.errors import RecordingError
    from dreamvla_edge.runtime.recording.calvin import read_calvin
    from dreamvla_edge.runtime.recording.lerobot_reader import read_lerobot, read_specification

    if (folder / "meta" / "info.json").exists():
        return read_lerobot(folder), read_specification(folder)
    if (folder / "training").is_dir():
        return read_calvin(folder), meant
    raise RecordingError(
        f"{folder} is neither LeRobot's layout nor CALVIN's",
        "meta/info.json or training/ in it",
        "make one with `dreamvla record export RECORDINGS --format lerobot -o FOLDER`",
    )
