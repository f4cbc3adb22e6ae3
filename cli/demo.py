"""`dreamvla demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .command import example, shared_options
from .report import Report

if TYPE_CHECKING:
    from dreamvla_edge.runtime.bundle import Bundle

    from .demo_run import Run

PARITY = 1e-5
"""Largest error to the released loop that the demo accepts (`docs/architecture.md`)."""


@click.command(
    "demo", epilog=example('dreamvla demo --instruction "open the drawer" --seconds 3 -o folder')
)
@click.option(
    "--instruction",
    default="push the red block to the left",
    show_default=True,
    help="What the arm is told.",
)
@click.option(
    "--seconds", type=click.FloatRange(0.5, 600), default=4.0, show_default=True, help="Run time."
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Of weights, scene and noise.",
)
@click.option("--black", is_flag=True, help="Leave the caps on both lenses.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder for checkpoint and bundle (default: one in the user's cache, made anew).",
)
@click.option("--force", is_flag=True, help="Replace checkpoint and bundle of an earlier demo.")
@shared_options
def command(
    instruction: str,
    seconds: float,
    seed: int,
    black: bool,
    output: Path | None,
    force: bool,
    report: Report,
) -> None:
    """From a made-up checkpoint to a moving simulated arm.

    Writes a small checkpoint with random weights in the released format, exports it, starts a
    virtual SO-101 on a pseudo-terminal and two simulated cameras, runs an instruction over the
    serial line and replays the run with the released loop. The motion is real bytes but has no
    meaning: the weights are random.
    """
    from dreamvla_edge.export.export import export
    from dreamvla_edge.runtime.errors import ParityError

    from . import demo_run

    folder = (output or demo_run.demo_folder()).absolute()
    checkpoint, place = folder / "checkpoint.pth", folder / "bundle"
    robot = folder / "robot.toml"
    demo_run.prepare(folder, (checkpoint, place), force or output is None)
    report.text(f"1. a small checkpoint in the released format: {checkpoint}")
    report.progress("drawing random weights")
    data_set = demo_run.made_up(checkpoint, seed)
    report.text(f"2. its bundle, proven equal to the network: {place}")
    bundle = export(checkpoint, place, data_set, force=True, progress=report.progress)
    report.text(f'3. {seconds:g} s on the virtual arm: "{instruction}"')
    report.progress("driving the virtual arm")
    demo_run.write_robot(robot, seed, black)
    run = demo_run.drive(bundle, robot, instruction, seconds, seed, report.progress)
    _show(run, bundle, report)
    report.progress("replaying steps of the run with the released loop")
    errors = demo_run.released_parity(checkpoint, data_set, bundle, run, instruction)
    parity = max(errors.values(), default=float("nan"))
    steps = ", ".join(str(step + 1) for step in errors)
    report.text(f"4. steps {steps} replayed with the released loop: within {parity:.1e} of it")
    report.document({"checkpoint": checkpoint, "bundle": place, "robot": robot})
    report.document(demo_run.as_document(run, errors))
    if not parity <= PARITY:
        raise ParityError(
            f"the run differs from the released loop by {parity:.2g}",
            f"at most {PARITY:.0e} of the largest value",
            f"run `dreamvla verify {place}` and report what it prints",
        )
    line = ("run", place, "--robot", robot, "--instruction", "open the drawer", "--seconds", 10)
    report.next(*line)


def _show(run: Run, bundle: Bundle, report: Report) -> None:
    from .demo_run import stage_times_ms

    status, wanted = run.status, bundle.manifest.specification.action.rate_hz
    report.text(
        f"   {status['decisions']} decisions at {status['rate_hz']:.1f} Hz; the data set has"
        f" {wanted:g} Hz, so time is stretched to {status['speed_factor']:.2f} of its speed"
    )
    late = status["lateness_ms"]
    report.text(
        f"   guardian: {status['guardian_cycles']} cycles at 100 Hz, late by {late['p50']:.2f} ms"
        f" (median), {late['p999']:.2f} ms (99.9 %)"
    )
    report.text()
    report.table(
        ("stage", "median ms"),
        ((stage, f"{value:.2f}") for stage, value in stage_times_ms(run).items()),
    )
    report.text()
    report.table(
        ("servo", "before", "after", "steps"),
        (
            (name, str(at), str(run.after[name]), f"{run.after[name] - at:+d}")
            for name, at in run.before.items()
        ),
    )
    report.text()
