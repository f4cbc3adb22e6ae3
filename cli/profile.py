"""`dreamvla profile`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from .bundle_path import BundlePath
from .command import example, shared_options
from .report import Report
from .sampler_name import sampler_option

if TYPE_CHECKING:
    from dreamvla_edge.runtime.bundle import Bundle
    from dreamvla_edge.runtime.profiler.profile import Profile
    from dreamvla_edge.runtime.profiler.roofline import Roof

    from .profile_run import Asked, Run

_RUNS, _LAYERED = 200, 20
_UNITS = {"ms": 1e-3, "s": 1.0, "us": 1e-6, "µs": 1e-6, "": 1e-3}


def _duration(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> float | None:
    """Seconds of `33ms`, `0.1s` or `33`, which are milliseconds."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+) *(ms|s|us|µs|)", value.strip())
    if not found or not float(found[1]) > 0:
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
    type=click.FloatRange(0, min_open=True),
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
    type=click.IntRange(1),
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
@click.option("--seconds", type=click.FloatRange(0.1), help="Of --watch (default: until Ctrl-C).")
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
    if watch:
        from .profile_watch import watched

        if robot_file is None or bundle is not None:
            raise click.UsageError("--watch takes --robot FILE and no bundle")
        watched(robot_file, seconds, report)
        return
    if bundle is None:
        raise click.UsageError("Missing argument 'BUNDLE'.")
    more = (robot_file, rate, deadline, against, board, output, html, trace)
    if (layers or predict) and any(option is not None for option in more):
        allowed = "-n, --sampler, --backend and --threads" if layers else "--sampler"
        raise click.UsageError(f"{'--layers' if layers else '--predict'} takes {allowed} only")
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
    places = _places(output, html, trace, force)
    _measure(opened, asked, board, deadline, against, places, report)


def _places(
    output: Path | None, html: Path | None, trace: Path | None, force: bool
) -> dict[str, Path]:
    """Where what is to be written goes; of the folders only -o itself may be missing.

    Raises OutputError if something is there, or nothing can be.
    """
    from tempfile import TemporaryFile

    from dreamvla_edge.runtime.errors import OutputError

    from .written import require_free

    places = {name: path for name, path in (("html", html), ("trace", trace)) if path is not None}
    folders = [path.absolute().parent for path in places.values()]
    if output is not None:
        folders.append(output if output.exists() else output.absolute().parent)
        places = {
            "profile": output / "profile.json",
            "html": output / "index.html",
            "trace": output / "trace.json",
        } | places
    for path in places.values():
        require_free(path, force)
    for folder in folders:
        try:
            TemporaryFile(dir=folder).close()
        except OSError as error:
            raise OutputError(
                f"nothing can be written into {folder} ({error.strerror})",
                "an existing folder that can be written",
                "choose another place",
            ) from error
    return places


def _measure(
    bundle: Bundle,
    asked: Asked,
    board: str | None,
    deadline_s: float | None,
    against: Path | None,
    places: dict[str, Path],
    report: Report,
) -> None:
    import msgspec

    from dreamvla_edge.runtime.backends import make_backend
    from dreamvla_edge.runtime.profiler.cold_start import cold_start
    from dreamvla_edge.runtime.profiler.profile import load_profile
    from dreamvla_edge.runtime.robot import load_robot

    from .profile_document import profile
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
    show(found, report)
    document = {"profile": msgspec.to_builtins(found)}
    if before is not None:
        document["against"] = show_comparison(found, before, report)
    report.document(document)
    _write(found, run, places, report)
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


def _write(found: Profile, run: Run, places: dict[str, Path], report: Report) -> None:
    import json

    import msgspec

    from dreamvla_edge.runtime.profiler.trace import trace_events

    from .profile_page import page
    from .written import write_file

    contents = {
        "profile": lambda: msgspec.json.encode({"profile": found}),
        "html": lambda: page(found).encode(),
        "trace": lambda: json.dumps(
            trace_events(run.timelines, run.reports, run.seen.samples)
        ).encode(),
    }
    for name, path in places.items():
        path.parent.mkdir(exist_ok=True)
        write_file(path, contents[name]())
        report.text(f"{name}: {path}")
    if places:
        report.document({"written": dict(places)})


def _judge(found: Profile, deadline_s: float, report: Report) -> None:
    from dreamvla_edge.runtime.errors import LatencyError

    measured = found.end_to_end
    late = sum(seconds > deadline_s for seconds in measured.seconds)
    report.document(
        {"deadline": {"deadline_s": deadline_s, "late": late, "p99_s": measured.summary.p99}}
    )
    if measured.summary.p99 > deadline_s:
        raise LatencyError(
            f"99 % of the decisions are through within {measured.summary.p99 * 1e3:.1f} ms;"
            f" {late} of {measured.summary.count} took longer than {deadline_s * 1e3:g} ms",
            f"99 % from the camera's stamp to {found.subject.until} within {deadline_s * 1e3:g} ms",
            "look at the stage that takes longest, at other programs on this machine and its power"
            " mode; or quantize the bundle, or take another --sampler",
        )
    report.text(f"deadline of {deadline_s * 1e3:g} ms: kept")


def main() -> NoReturn:
    """Entry point of `dreamvla-profile`."""
    from .command import run

    run(command, "dreamvla-profile")
