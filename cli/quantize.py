"""`dreamvla quantize`."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .bundle_path import BundlePath
from .command import WrongUsage, example, shared_options
from .report import Report
from .sampler_name import sampler_option
from .world import libero_option, world_of

if TYPE_CHECKING:
    from dreamvla_edge.calibrate.accept import Likeness
    from dreamvla_edge.calibrate.data import Moment
    from dreamvla_edge.calibrate.observe import Seen
    from dreamvla_edge.calibrate.plan import QuantPlan
    from dreamvla_edge.runtime.bundle import Bundle
    from dreamvla_edge.sim.evaluation.evaluation import Asked

EPISODES = 400
"""Trials of both, of which 5 points less can be seen where most succeed."""
LIBERO = "libero"
"""What a specification is called whose network acts in LIBERO (`export/data_sets/`)."""
_SEARCHED, _SHOWN = 60, 12
"""Frames that groups are judged on; groups that are shown."""
_HELD_OUT = 5
"""Of so many episodes one is not calibrated on; the bundle is judged on those."""


@click.command(
    "quantize",
    epilog=example(
        "dreamvla quantize bundle recordings -o small --preset orin",
        "dreamvla quantize bundle recordings -o small --preset plan.toml --sampler ddim-5",
        "dreamvla quantize bundle data -o small --preset orin --accept sim --libero libero_spatial",
    ),
)
@click.argument("bundle", type=BundlePath())
@click.argument("data", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True)
@click.option("--preset", required=True, help="cpu, orin, or a plan of your own.")
@sampler_option
@click.option(
    "--instruction", help="Of data that comes without words, as CALVIN's own; of robot's trials."
)
@click.option("--frames", type=click.IntRange(1), default=400, show_default=True, help="Of data.")
@click.option(
    "--accept",
    type=click.Choice(["data", "sim", "robot", "none"]),
    default="data",
    show_default=True,
)
@libero_option
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Of sim.")
@click.option("--robot", "robot_file", type=click.Path(path_type=Path), help="File of the robot.")
@click.option(
    "--trials", type=click.IntRange(1), default=EPISODES, show_default=True, help="Of robot."
)
@click.option("--dream/--no-dream", default=True, help="Whether the new bundle can dream.")
@click.option("--search", is_flag=True, help="Keep the fewest groups of layers that it takes.")
@click.option(
    "--report",
    "picture",
    type=click.Path(path_type=Path),
    help="Draw what each group of layers costs, as an SVG.",
)
@click.option("--force", is_flag=True, help="Replace an existing bundle.")
@shared_options
def command(
    bundle: Path,
    data: Path,
    output: Path,
    preset: str,
    sampler: str | None,
    instruction: str | None,
    frames: int,
    accept: str,
    libero: str | None,
    workers: int,
    robot_file: Path | None,
    trials: int,
    dream: bool,
    search: bool,
    picture: Path | None,
    force: bool,
    report: Report,
) -> None:
    """Make a smaller, faster bundle that acts the same.

    DATA: recordings, or a data set of LeRobot, CALVIN or LIBERO, of the arm that the bundle is
    for. Every fifth episode is held out: with --accept data the new bundle must act on those like
    the old one, by a fifth of what another noise seed changes. With --accept sim it must also do
    the tasks of the demo's scene or, with --libero, of LIBERO: 400 episodes of both, on the same
    seeds, and with 95 % no loss of 5 points. With --accept robot both take turns on the arm without
    your being told which, and a key says whether it was done. What was tried is kept beside the
    output: the same command goes on, also on another day. A bundle that is not accepted is not
    written. Needs the extra [calibrate], and [sim].
    """
    from dreamvla_edge.calibrate import accept as judge
    from dreamvla_edge.calibrate.data import episodes, moments, require_plausible
    from dreamvla_edge.calibrate.observe import observe
    from dreamvla_edge.calibrate.plan import load_plan
    from dreamvla_edge.calibrate.quantize import accepted, fitted, quantize, watched
    from dreamvla_edge.runtime.bundle import Bundle, open_bundle
    from dreamvla_edge.runtime.errors import AcceptanceError
    from dreamvla_edge.runtime.manifest import recipe_sha256
    from dreamvla_edge.runtime.place import check_output, place
    from dreamvla_edge.runtime.samplers.named import replacement

    from .accept_robot import tried
    from .keyboard import has_keys
    from .written import require_free

    check_output(output, force)
    if accept == "robot" and (robot_file is None or instruction is None):
        raise WrongUsage(
            "--accept robot without a robot or an instruction",
            "--robot robot.toml and --instruction 'what the arm shall do'",
            "give both; `dreamvla robot init` makes the file",
        )
    if libero is not None and accept != "sim":
        raise WrongUsage(
            f"--libero {libero} with --accept {accept}",
            "--accept sim, which is what plays in LIBERO",
            "add --accept sim, or leave --libero out",
        )
    if accept == "robot" and not has_keys():
        raise WrongUsage(
            "--accept robot without a terminal, or in its background",
            "a person at the keyboard, who stops the arm and says what was done",
            "give the command in a terminal",
        )
    if picture is not None:
        require_free(picture, force)
    opened = open_bundle(bundle)
    if accept == "sim" and libero is None and opened.manifest.specification.name == LIBERO:
        raise WrongUsage(
            f"--accept sim for {bundle}, a network of LIBERO, which cannot act in the demo's scene",
            "--libero SUITE",
            "add the suite that it learnt, as in --libero libero_spatial",
        )
    world = world_of(libero) if accept == "sim" else None
    plan = fitted(load_plan(preset), opened)
    specification = opened.manifest.specification
    spec = replacement(opened.manifest, sampler)
    report.progress(f"reading {data}")
    shown = episodes(data, specification, instruction)
    require_plausible(shown, data)
    held_out = shown[::_HELD_OUT]
    learnt = tuple(e for i, e in enumerate(shown) if i % _HELD_OUT) or held_out
    report.progress(f"observing {opened.path}")
    seen = observe(opened, watched(plan), moments(learnt, data, specification), frames)
    if search or picture is not None:
        told = list(islice(moments(learnt, data, specification), min(frames, _SEARCHED)))
        plan = _looked_into(opened, plan, seen, told, search, picture, report)
    with place(output, force) as folder:
        made = quantize(
            *(opened, plan, seen, folder / "bundle"),
            sampler=spec,
            dreams=dream,
            progress=report.progress,
        )
        if accept != "none":
            report.progress("judging")
            judged = list(islice(moments(held_out, data, specification), frames))
            found = judge.compared(made, opened, judged)
            _show(found, report)
            if not found.passed:
                raise AcceptanceError(
                    f"the new bundle errs by {found.error_share:.2f} of what another noise seed"
                    f" changes, and {100 * found.flips:.1f} % of the decisions flip the gripper"
                    f" ({100 * found.seed_flips:.1f} % between seeds)",
                    f"at most {judge.LARGEST_SHARE:g} of both",
                    "keep more layers, or accept it all the same with --accept none",
                )
            numbers = {key: value for key, value in found._asdict().items() if key != "worst"}
            if world is not None:
                asked = world.trials(range(world.first, world.first + EPISODES))
                trials_of = output.with_name(f"{output.name}.trials")
                numbers |= _played(made, opened, asked, trials_of, workers, report)
            if robot_file is not None and instruction is not None and accept == "robot":
                numbers |= tried(
                    *(made, opened, robot_file, instruction, trials),
                    *(output.with_name(f"{output.name}.verdicts.jsonl"), report),
                )
            made = accepted(made, {"kind": accept, **numbers})
        for path in sorted(made.path.iterdir()):
            path.rename(folder / path.name)
        made.path.rmdir()
    done = Bundle(output, made.manifest)
    sizes = [_bytes(b.path) for b in (opened, done)]
    report.text(f"{output}: {sizes[1] / 1e6:.1f} MB instead of {sizes[0] / 1e6:.1f}")
    recipe = recipe_sha256(done.manifest)
    report.text(f"plan and sampler: sha256 {recipe}")
    report.document({"bundle": output, "bytes": sizes[1], "source_bytes": sizes[0]})
    report.document({"recipe_sha256": recipe})
    report.next("eval", output, "--against", bundle)


def _looked_into(
    opened: Bundle,
    plan: QuantPlan,
    seen: Seen,
    data: list[Moment],
    search: bool,
    picture: Path | None,
    report: Report,
) -> QuantPlan:
    """The plan, with the fewest groups kept if asked for; draws what each group costs."""
    from dreamvla_edge.calibrate.sensitivity import effects, fewest_kept, groups_of, reference

    from .sensitivity_picture import draw_effects
    from .written import write_file

    known = reference(opened, data)
    found = effects(opened, plan, seen, known, report.progress)
    groups = {name: groups_of(opened, name, choice) for name, choice in plan.subgraphs.items()}
    report.table(
        ("subgraph", "group", "of a seed's spread", "flips %"),
        (
            (e.subgraph, e.group, f"{e.likeness.error_share:.4f}", f"{100 * e.likeness.flips:.1f}")
            for e in found[:_SHOWN]
        ),
    )
    if search:
        plan, likely = fewest_kept(opened, plan, seen, known, found, report.progress)
        kept = sum(
            all(plan.subgraphs[e.subgraph].keeps(la) for la in groups[e.subgraph][e.group])
            for e in found
        )
        report.text(f"{kept} of {len(found)} groups kept: {likely.error_share:.3f} of a spread")
        report.document({"kept": kept, "groups": len(found)})
    if picture is not None:
        write_file(picture, draw_effects(found, plan, groups).encode())
        report.text(f"what each group costs: {picture}")
        report.document({"report": picture})
    return plan


def _played(
    made: Bundle,
    opened: Bundle,
    asked: Sequence[Asked],
    folder: Path,
    workers: int,
    report: Report,
) -> dict[str, float | int | str]:
    """How both do. Raises AcceptanceError if the new one may be much worse, or nobody can tell."""
    from dreamvla_edge.sim.evaluation.acceptance import compared, require_accepted

    found = compared(made, opened, asked, folder, workers, report.progress)
    report.text(
        f"{found['episodes']} episodes in {found['world']}: {100 * found['difference']:+.1f}"
        f" points, with 95 % not below {100 * found['at_least']:+.1f} ({folder})"
    )
    report.document({"played": found})
    require_accepted(found)
    return found


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _show(found: Likeness, report: Report) -> None:
    report.text(
        f"{found.frames} held-out frames at equal noise: mean error {found.error:.2g}, which is"
        f" {found.error_share:.3f} of what another noise seed changes; the gripper flips in"
        f" {100 * found.flips:.2f} %, between seeds in {100 * found.seed_flips:.2f} %; worst"
        f" frames: {', '.join(map(str, found.worst))}"
    )
    report.document({"likeness": {**found._asdict(), "passed": found.passed}})
