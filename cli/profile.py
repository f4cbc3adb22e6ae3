"""`dreamvla profile`."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from .bundle_path import BundlePath
from .command import example, shared_options
from .number import Number
from .report import Report
from .sampler_name import sampler_option

if TYPE_CHECKING:
    from dreamvla_edge.runtime.bundle import Bundle
    from dreamvla_edge.runtime.profiler.profile import Profile
    from dreamvla_edge.runtime.profiler.roofline import Roof

    from .profile_run import Asked

_RUNS, _LAYERED = 200, 20
_MODES = {
    "watch": ("robot_file", "seconds"),
    "predict": ("bundle", "sampler"),
    "layers": ("bundle", "runs", "sampler", "backend", "threads"),
}
"""Instead of a profile: what each takes beside --json, -v and -q."""
_SHARED = ("as_json", "verbose", "quiet")
_UNITS = {"ms": 1e-3, "s": 1.0, "us": 1e-6, "µs": 1e-6, "": 1e-3}


def _duration(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> float | None:
    """Seconds of `33ms`, `0.1s` or `33`, which are milliseconds."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+) *(ms|s|us|µs|)", value.strip())
    if not found or not 0 < float(found[1]) < math.inf:
        raise click.BadParameter(f"{value!r} is no duration, such as 33ms or 0.1s")
    return float(found[1]) * _UNITS[found[2]]


@click.command(
    "profile",
    epilog=example(
        "dreamvla profile demo",
        "dreamvla profile bundle -o report --deadline 120ms",
        "dreamvla profile bundle --against before/profile.json",
        "dreamvla profile bundle --predict orin-nano-super",
        "dreamvla profile --watch --robot robot.toml",
    ),
)
@click.argument("bundle", type=BundlePath(), required=False)
@click.option(
    "--robot",
    "robot_file",
    type=click.Path(path_type=Path),
    help="Robot file: its cameras and its arm, which does not move; default: a virtual one.",
)
@click.option(
    "-n", "--runs", type=click.IntRange(5), help="Decisions (default: 200, of --layers 20)."
)
@click.option(
    "--warm-up",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="Decisions with a full window that do not count.",
)
@click.option(
    "--rate",
    type=Number(0.01, 1000),
    metavar="HZ",
    help="Decisions per second (default: the data set's).",
)
@click.option(
    "--deadline",
    callback=_duration,
    metavar="TIME",
    help="Fail (exit code 16) if 99 % of the decisions are not through within it: 120ms.",
)
@click.option(
    "--against",
    type=click.Path(path_type=Path, dir_okay=False),
    help="An earlier document: how much slower or faster each stage is.",
)
@sampler_option
@click.option("--backend", default="onnxruntime", show_default=True, help="What runs the graphs.")
@click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    help="Of the policy (default: one per core where that helps).",
)
@click.option(
    "--board",
    metavar="NAME[:MODE]",
    help="Take floors from the table of boards, not from this machine: agx-orin-64gb:MAXN.",
)
@click.option(
    "--predict",
    metavar="NAME[:MODE]",
    help="Say what it would take on a board that is not here, instead; nothing is run.",
)
@click.option("--layers", is_flag=True, help="Time every layer of every subgraph instead.")
@click.option("--watch", is_flag=True, help="Look at a running policy instead; needs --robot.")
@click.option("--seconds", type=Number(0.1), help="Of --watch (default: until Ctrl-C).")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Folder for profile.json, index.html and trace.json.",
)
@click.option("--html", type=click.Path(path_type=Path), help="File for the page alone.")
@click.option(
    "--trace", type=click.Path(path_type=Path), help="File for a trace that ui.perfetto.dev opens."
)
@click.option("--force", is_flag=True, help="Replace files that exist.")
@shared_options
def command(
    bundle: Path | None,
    robot_file: Path | None,
    runs: int | None,
    warm_up: int,
    rate: float | None,
    deadline: float | None,
    against: Path | None,
    sampler: str | None,
    backend: str,
    threads: int | None,
    board: str | None,
    predict: str | None,
    layers: bool,
    watch: bool,
    seconds: float | None,
    output: Path | None,
    html: Path | None,
    trace: Path | None,
    force: bool,
    report: Report,
) -> None:
    """Show where the time goes, from picture to servos.

    From the camera's stamp to the last serial byte, the whole chain runs as `dreamvla run` runs it:
    cameras, policy, guardian and, where no robot file is given, a virtual arm whose bus has a clock
    of its own. Beside every stage stands the least that it can take on this machine.
    """
    _require_fit(click.get_current_context())
    if watch:
        from .profile_watch import watched

        if robot_file is None:
            raise click.UsageError("--watch needs --robot FILE")
        watched(robot_file, seconds, report)
        return
    if bundle is None:
        raise click.UsageError("Missing argument 'BUNDLE'.")
    from dreamvla_edge.runtime.bundle import open_bundle
    from dreamvla_edge.runtime.samplers.named import replacement

    from .profile_run import Asked

    count = runs or (_LAYERED if layers else _RUNS)
    asked = Asked(robot_file, count, warm_up, rate, backend, threads, sampler)
    opened = open_bundle(bundle)
    replacement(opened.manifest, sampler)
    if predict is not None:
        from .prediction import show_prediction

        name, _, mode = predict.partition(":")
        show_prediction(opened, name, mode or None, sampler, report)
        return
    if layers:
        from .profile_layers import layered

        layered(opened, asked, report)
        return
    from .profile_output import places

    into = places(output, html, trace, force, (against, robot_file))
    _measure(opened, asked, board, deadline, against, into, force, report)


def _require_fit(context: click.Context) -> None:
    """Raises UsageError for an option that would be left out of account."""
    commanded = click.core.ParameterSource.COMMANDLINE
    given = {
        parameter.name: parameter.get_error_hint(context)
        for parameter in context.command.params
        if parameter.name and context.get_parameter_source(parameter.name) is commanded
    }
    modes = [mode for mode in _MODES if mode in given]
    if len(modes) > 1:
        raise click.UsageError(f"{' and '.join(f'--{mode}' for mode in modes)} exclude each other")
    if not modes and "seconds" in given:
        raise click.UsageError("--seconds belongs to --watch")
    if "force" in given and not given.keys() & {"output", "html", "trace"}:
        raise click.UsageError("--force belongs to -o, --html or --trace")
    if modes and (wrong := given.keys() - {*modes, *_MODES[modes[0]], *_SHARED}):
        hints = ", ".join(sorted(given[name] for name in wrong))
        raise click.UsageError(f"--{modes[0]} does not take {hints}")


def _measure(
    bundle: Bundle,
    asked: Asked,
    board: str | None,
    deadline_s: float | None,
    against: Path | None,
    into: dict[str, Path],
    force: bool,
    report: Report,
) -> None:
    import msgspec

    from dreamvla_edge.runtime.backends import make_backend
    from dreamvla_edge.runtime.profiler.cold_start import cold_start
    from dreamvla_edge.runtime.profiler.profile import load_profile
    from dreamvla_edge.runtime.robot import load_robot

    from .profile_document import profile
    from .profile_output import write
    from .profile_run import drive
    from .profile_table import show, show_comparison

    before = None if against is None else load_profile(against)
    make_backend(asked.backend, asked.threads)  # what is wrong here is said before it takes time
    if asked.robot is not None:
        load_robot(asked.robot)
    roof = _roof(asked, board, report)
    report.progress("starting a fresh process")
    start = cold_start(bundle.path, asked.backend, asked.threads, asked.sampler)
    run = drive(bundle, asked, report.progress)
    found = profile(bundle, asked, run, start, roof)
    failed = write(found, run, into, force)  # before it is printed: nobody may be there to read it
    show(found, report)
    document = {"profile": msgspec.to_builtins(found)}
    if before is not None:
        document["against"] = show_comparison(found, before, report)
    report.document(document)
    if failed is not None:
        raise failed
    for name, path in into.items():
        report.text(f"{name}: {path}")
    if into:
        report.document({"written": into})
    if deadline_s is not None:
        _judge(found, deadline_s, report)


def _roof(asked: Asked, name: str | None, report: Report) -> Roof | None:
    """What this machine can do at most: by the table if it is named, or as it can be measured.

    Raises BoardError for a board or power mode that the table does not have.
    """
    from dreamvla_edge.runtime.backends.engine import power_mode
    from dreamvla_edge.runtime.profiler.boards import board
    from dreamvla_edge.runtime.profiler.host import measured_host

    if name is not None:
        known, _, mode = name.partition(":")
        return board(known).roof(mode or power_mode() or None)
    if asked.backend != "onnxruntime":
        return None
    report.progress("measuring what this machine can do at most")
    return measured_host(asked.threads)


def _judge(found: Profile, deadline_s: float, report: Report) -> None:
    from dreamvla_edge.runtime.errors import LatencyError

    measured = found.end_to_end  # those that never arrived are late as well
    count = measured.summary.count + found.left_out
    late = sum(seconds > deadline_s for seconds in measured.seconds) + found.left_out
    report.document(
        {"deadline": {"deadline_s": deadline_s, "late": late, "p99_s": measured.summary.p99}}
    )
    if late > 0.01 * count:
        raise LatencyError(
            f"99 % of the decisions that arrived took at most {measured.summary.p99 * 1e3:.1f} ms;"
            f" {late} of all {count} took longer than {deadline_s * 1e3:g} ms or never arrived",
            f"99 % from the camera's stamp to {found.subject.until} within {deadline_s * 1e3:g} ms",
            "look at the stage that takes longest, at other programs on this machine and its power"
            " mode; or quantize the bundle, or take another --sampler",
        )
    report.text(f"deadline of {deadline_s * 1e3:g} ms: kept")


def main() -> NoReturn:
    """Entry point of `dreamvla-profile`."""
    from .command import run

    run(command, "dreamvla-profile")
