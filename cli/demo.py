"""`dreamvla demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .command import example, shared_options
from .number import Number
from .report import Report

if TYPE_CHECKING:
    from dreamvla_edge.runtime.bundle import Bundle

    from .demo_run import Told

PARITY = 1e-4
"""Largest error to the released loop that is accepted.

A trained denoiser amplifies rounding: of twelve steps the median was 1e-6 and the worst 1e-5; a
wrong weight or mask shows as 1e-3 or more.
"""
SAME = 1e-5
"""Largest difference between two bundles of the same weights (`docs/architecture.md`)."""
FIRST_SEED = 500_000


@click.command("demo", epilog=example("dreamvla demo --tasks 10 --seed 500100 -o folder"))
@click.option("--tasks", type=click.IntRange(1), default=5, show_default=True)
@click.option(
    "--seed",
    type=click.IntRange(FIRST_SEED),
    default=FIRST_SEED,
    show_default=True,
    help="Of the first task; the others follow.",
)
@click.option("--instruction", help="What the arm is told, instead of each task's own words.")
@click.option(
    "--seconds",
    type=Number(0.5, 600),
    default=15.0,
    show_default=True,
    help="A task that takes longer has failed.",
)
@click.option("--viewer", is_flag=True, help="Show the scene in MuJoCo's window.")
@click.option(
    "--export", "anew", is_flag=True, help="Export the shipped weights anew, and compare."
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder for the picture and all else (default: one in the user's cache, made anew).",
)
@click.option("--force", is_flag=True, help="Replace what an earlier demo left there.")
@shared_options
def command(
    tasks: int,
    seed: int,
    instruction: str | None,
    seconds: float,
    viewer: bool,
    anew: bool,
    output: Path | None,
    force: bool,
    report: Report,
) -> None:
    """A trained robot does what it is told, in a scene on this machine.

    An SO-101 stands on a table in MuJoCo; its servos hang on a virtual serial bus, its cameras
    are drawn. The shipped network sees, is told and decides ten times a second; the guardian
    drives the servos. Needs the extra [sim], and [export] for --export.
    """
    from dreamvla_edge.demo import BUNDLE
    from dreamvla_edge.runtime.bundle import open_bundle

    from . import demo_run
    from .demo_picture import draw_picture

    if anew:  # says at once if an extra is missing
        import dreamvla_edge.export.export  # noqa: F401

    folder = demo_run.prepare(output, force)
    bundle = open_bundle(BUNDLE)
    if anew:
        bundle = _exported(folder / "bundle", report)
    report.text(f"{tasks} tasks with {bundle.path}, {seconds:g} s at most for each")
    told: list[Told] = []
    for number in range(tasks):
        told.append(
            demo_run.drive(
                *(bundle, folder, seed + number, instruction, seconds, viewer, report.progress)
            )
        )
    picture = draw_picture(told, folder / "demo.png")
    _show(told, report)
    done = sum(task.done for task in told)
    report.text(f"\n{done} of {tasks} done; what it looked like: {picture}")
    report.document({"success": {"done": done, "tasks": tasks}, "picture": picture})
    report.document({"tasks": [demo_run.as_document(task) for task in told]})
    if anew:
        _require_parity(bundle, told[0], report)
    report.next("eval", "demo", "--episodes", 50, "--workers", 2)


def _show(told: list[Told], report: Report) -> None:
    report.table(
        ("told", "done", "after s", "Hz", "guardian late ms"),
        (
            (
                task.instruction,
                "yes" if task.done else "no",
                f"{task.time_s:.1f}",
                f"{task.status['rate_hz']:.1f}",
                f"{task.status['lateness_ms']['p999']:.2f}",
            )
            for task in told
        ),
    )


def _exported(place: Path, report: Report) -> Bundle:
    """A new bundle of the shipped weights, compared with the one that ships."""
    from dreamvla_edge.demo import BUNDLE, DATA_SET, WEIGHTS
    from dreamvla_edge.export.data_set import load_data_set
    from dreamvla_edge.export.export import export
    from dreamvla_edge.runtime.errors import ParityError

    from .demo_parity import difference

    data_set = load_data_set(str(DATA_SET))
    bundle = export(WEIGHTS, place, data_set, force=True, progress=report.progress)
    found = difference(bundle, BUNDLE)
    report.text(f"exported anew: {place}, within {found:.1e} of the shipped bundle")
    report.document({"bundle": place, "difference": found})
    if not found <= SAME:
        raise ParityError(
            f"the shipped weights give a bundle that differs by {found:.2g} from the shipped one",
            f"at most {SAME:.0e} of the largest value",
            "report this with the versions of torch and onnxruntime",
        )
    return bundle


def _require_parity(bundle: Bundle, task: Told, report: Report) -> None:
    """Some steps of a run, replayed with the released loop."""
    from dreamvla_edge.runtime.errors import ParityError

    from .demo_parity import released_parity

    if not task.decisions:
        raise ParityError(
            f"no step was decided within {task.time_s:.1f} s, so none could be compared",
            "a first task of some steps",
            "give more --seconds, or a machine that is less busy",
        )
    report.progress("replaying steps of the first task with the released loop")
    errors = released_parity(bundle, task.decisions, task.instruction)
    parity = max(errors.values())
    steps = ", ".join(str(step + 1) for step in errors)
    report.text(f"steps {steps} replayed with the released loop: within {parity:.1e} of it")
    report.document({"parity": parity, "parity_by_step": errors})
    if not parity <= PARITY:
        raise ParityError(
            f"the run differs from the released loop by {parity:.2g}",
            f"at most {PARITY:.0e} of the largest value",
            f"run `dreamvla verify {bundle.path}` and report what it prints",
        )
