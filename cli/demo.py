"""`dreamvla demo`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .command import shared_options
from .report import Report

if TYPE_CHECKING:
    from .demo_run import Run

PARITY = 1e-5
"""Largest error to the released loop that the demo accepts (`docs/architecture.md`)."""


@click.command("demo")
@click.option(
    "--instruction",
    default="push the red block to the left",
    show_default=True,
    help="What the arm is told.",
)
@click.option(
    "--seconds", type=click.FloatRange(0.5, 600), default=4.0, show_default=True, help="Run time."
)
@click.option("--seed", default=0, show_default=True, help="Of weights, scene and noise.")
@click.option("--black", is_flag=True, help="Leave the caps on both lenses.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder for checkpoint and bundle (default: in the user's cache).",
)
@shared_options
def command(
    instruction: str,
    seconds: float,
    seed: int,
    black: bool,
    output: Path | None,
    report: Report,
) -> None:
    r"""From a made-up checkpoint to a moving simulated arm.

    Writes a small checkpoint with random weights in the released format, exports it, starts a
    virtual SO-101 on a pseudo-terminal and two simulated cameras, runs an instruction over the
    serial line and replays the run with the released loop. The motion is real bytes but has no
    meaning: the weights are random.

    \b
    Example:
      dreamvla demo --instruction "open the drawer" --seconds 3
    """
    from dreamvla_edge.export.export import export
    from dreamvla_edge.model.synthetic import IMAGE, SMALL, write_checkpoint
    from dreamvla_edge.runtime.errors import ParityError

    from . import demo_run

    folder = (output or demo_run.demo_folder()).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint, place = folder / "checkpoint.pth", folder / "bundle"
    report.text(f"1. a small checkpoint in the released format: {checkpoint}")
    write_checkpoint(checkpoint, dataclasses.replace(SMALL, dreams=(IMAGE,)), seed)
    report.text(f"2. its bundle, proven equal to the network: {place}")
    data_set = demo_run.demo_data_set(SMALL.backbone.heads)
    bundle = export(checkpoint, place, data_set, force=True, progress=report.progress)
    report.text(f'3. {seconds:g} s on the virtual arm: "{instruction}"')
    run = demo_run.drive(bundle, instruction, seconds, seed, black)
    report.progress("replaying the run with the released loop")
    parity = demo_run.released_parity(checkpoint, data_set, bundle, run, instruction)
    _show(run, parity, report)
    report.text(f"next: dreamvla inspect {place} --plot {folder / 'mask.png'}")
    report.document(demo_run.as_document(run, parity, checkpoint, place))
    if not parity <= PARITY:
        raise ParityError(
            f"the run differs from the released loop by {parity:.2g}",
            f"at most {PARITY:.0e} of the largest value",
            f"run `dreamvla verify {place}` and report what it prints",
        )


def _show(run: Run, parity: float, report: Report) -> None:
    from .demo_run import stage_times_ms

    rate = len(run.cycles) / run.duration_s
    skipped = sum(cycle.skipped for cycle in run.cycles)
    report.text(f"   {len(run.cycles)} cycles, {rate:.1f} Hz, {skipped} deadlines skipped")
    report.text()
    report.table(
        ("stage", "median ms"),
        ((stage, f"{value:.2f}") for stage, value in stage_times_ms(run).items()),
    )
    report.text()
    report.table(
        ("servo", "before", "after", "step"),
        (
            (name, str(at), str(run.after[name]), f"{run.after[name] - at:+d}")
            for name, at in run.before.items()
        ),
    )
    report.text()
    report.text(f"4. largest difference to the released loop: {parity:.1e} of the largest value")
