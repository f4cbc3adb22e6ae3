"""`dreamvla eval`."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .bundle_path import BundlePath
from .command import example, shared_options
from .report import Report
from .sampler_name import sampler_option
from .world import libero_option, world_of

if TYPE_CHECKING:
    from dreamvla_edge.sim.evaluation.evaluation import Candidate

CONTROL_SHARE = 4
"""Controls get so many times fewer episodes: they are far from where it matters."""


@click.command(
    "eval",
    epilog=example(
        "dreamvla eval bundle --episodes 200 --workers 2 -o report",
        "dreamvla eval quantized --against bundle --seeds 500000:500100",
    ),
)
@click.argument("bundle", type=BundlePath())
@click.option("--episodes", type=click.IntRange(1), default=200, show_default=True)
@click.option("--seeds", metavar="FROM:TO", help="Instead of --episodes; from 500000 on.")
@libero_option
@click.option("--against", type=BundlePath(), help="A bundle to compare with.")
@sampler_option
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True)
@click.option(
    "--ray", help='Workers on a Ray cluster: its address, or "local". Needs the extra [ray].'
)
@click.option("--controls/--no-controls", default=True, help="Also who cannot know how.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder for every trial and a page with videos of the failures; one that holds trials"
    " of the same bundle is gone on with.",
)
@shared_options
def command(
    bundle: Path,
    episodes: int,
    seeds: str | None,
    libero: str | None,
    against: Path | None,
    sampler: str | None,
    workers: int,
    ray: str | None,
    controls: bool,
    output: Path | None,
    report: Report,
) -> None:
    """Let a bundle do the tasks of the scene, and count.

    Episodes run in lock step: physics, servo bytes, guardian and policy share one clock, and the
    same seed gives the same actions on the same kind of machine, whatever else it does. Needs
    the extra [sim], and [record] for the page's videos.

    With --libero SUITE (libero_spatial, …) trials are numbered from 0: tasks in turn, so that the
    first round has the first initial state of each.
    """
    import tempfile

    from dreamvla_edge.sim.evaluation.actors import CONTROLS
    from dreamvla_edge.sim.evaluation.evaluation import Candidate
    from dreamvla_edge.sim.evaluation.summary import comparison, summary

    first, trials = world_of(libero)
    wanted = _seeds(seeds, first) if seeds else range(first, first + episodes)
    few = wanted[: max(1, len(wanted) // CONTROL_SHARE)]
    asked = trials(wanted) + (trials(few, tuple(CONTROLS)) if controls else [])
    with tempfile.TemporaryDirectory() as temporary:
        folder = output or Path(temporary)
        candidate = Candidate(bundle, sampler)
        log, times_s = _evaluated(candidate, asked, folder, workers, ray, report)
        done = {trial: log.done[trial] for trial in asked}
        document: dict[str, Any] = summary(done)
        if times_s:
            document["policy_rate_hz"] = 1 / statistics.median(times_s)
        if against is not None:
            place = folder / "against"
            rival = Candidate(against)
            other, _ = _evaluated(rival, trials(wanted), place, workers, ray, report)
            document["against"] = comparison(done, other.done)
        _show(document, report)
        report.document(document)
        if output is not None:
            from .eval_page import write_page

            report.progress("drawing the failures")
            page = write_page(output, document, log, [t for t in trials(wanted)])
            report.text(f"\nevery failure as a video: {page}")
            report.document({"page": page})


def _seeds(text: str, lowest: int) -> range:
    first, _, end = text.partition(":")
    try:
        found = range(int(first), int(end))
    except ValueError:
        found = range(0)
    if not found or found[0] < lowest:
        why = ", since those below are for training" if lowest else ""
        raise click.BadParameter(
            f"{text} instead of FROM:TO with {lowest} <= FROM < TO{why}",
            param_hint="--seeds",
        )
    return found


def _evaluated(
    candidate: Candidate,
    asked: list[Any],
    folder: Path,
    workers: int,
    ray: str | None,
    report: Report,
) -> tuple[Any, list[float]]:
    """The log in a folder with all trials of a candidate, and how long its decisions took now."""
    from dreamvla_edge.runtime.bundle import open_bundle, sha256
    from dreamvla_edge.runtime.errors import OutputError
    from dreamvla_edge.runtime.manifest import MANIFEST_NAME
    from dreamvla_edge.runtime.samplers.named import replacement
    from dreamvla_edge.sim.evaluation.evaluation import Log, evaluate

    bundle, sampler = candidate
    replacement(open_bundle(bundle).manifest, sampler)  # before anything is written
    identity, mark = sha256(bundle / MANIFEST_NAME), folder / "bundle.sha256"
    if sampler is not None:
        identity += f" {sampler}"
    if mark.exists() and mark.read_text() != identity:
        raise OutputError(
            f"{folder} holds trials of another bundle or sampler",
            "a new folder, or trials of this one to go on with",
            "give another folder with -o",
        )
    with Log(folder) as log:
        mark.write_text(identity)
        times_s = evaluate(
            *(candidate, asked, log, workers),
            lambda n, all_: report.progress(f"{bundle}: {n} of {all_}"),
            ray,
        )
    return log, times_s


def _show(document: dict[str, Any], report: Report) -> None:
    def share(found: dict[str, float]) -> tuple[str, ...]:
        values = (f"{100 * found[key]:.0f}" for key in ("mean", "low", "high"))
        return (str(int(found["episodes"])), *values)

    def moved(found: dict[str, float]) -> tuple[str, ...]:
        keys = ("time_s", "flips", "shake_rad_s2", "collisions")
        return tuple(f"{found[key]:.1f}" for key in keys)

    none = ("",) * 4
    rows = [(name, *share(f), *moved(f)) for name, f in document["families"].items()]
    rows.append(("all", *share(document["success"]), *none))
    rows += [(name, *share(found), *none) for name, found in document["controls"].items()]
    report.table(
        ("family", "episodes", "success %", "low", "high", "time s", "flips", "rad/s²", "bumps"),
        rows,
    )
    for end, count in document["ends"].items():
        if end not in ("done", "time"):
            report.text(f"{count} episodes ended in {end}")
    if "policy_rate_hz" in document:
        report.text(f"the policy decides at {document['policy_rate_hz']:.0f} Hz on one thread")
    if found := document.get("against"):
        report.text(
            f"against the other bundle on {found['episodes']} seeds:"
            f" {100 * found['difference']:+.1f} points, with 95 % not below"
            f" {100 * found['at_least']:+.1f}; better on {found['better']}, worse on"
            f" {found['worse']} (McNemar p = {found['p']:.2g})"
        )
