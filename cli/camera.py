"""`dreamvla camera`."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from .command import example, shared_options
from .report import Report

if TYPE_CHECKING:
    from dreamvla_edge.runtime.cameras.camera_thread import CameraThread
    from dreamvla_edge.runtime.cameras.source import CameraSource
    from dreamvla_edge.runtime.specification import CameraSpecification

    Role = Literal["primary", "wrist"]
    View = tuple[CameraSource, CameraSpecification]

WATCHED_S = 1.0
"""How long `show` watches before it takes pictures and judges."""


@click.group(
    "camera",
    epilog=example(
        "dreamvla camera scan",
        "dreamvla camera show robot.toml",
        "dreamvla camera swap robot.toml",
    ),
)
def command() -> None:
    """Find cameras, look through them, exchange them.

    All three commands take --json, -v and -q; each has its own --help with an example.
    """


@command.command("scan", epilog=example("dreamvla camera scan"))
@shared_options
def scan(report: Report) -> None:
    """List the cameras that Linux knows: lasting names, sizes and rates."""
    from dataclasses import asdict

    from dreamvla_edge.runtime.cameras.v4l2_devices import devices

    found = devices()
    report.document({"cameras": [asdict(device) for device in found]})
    if not found:
        report.text("no camera: there is no /dev/video* that captures pictures")
        report.text("  USB: plug it in and look at `lsusb` and `sudo dmesg | tail`")
        report.text("  CSI on a Jetson: enable it with /opt/nvidia/jetson-io/jetson-io.py")
        report.text("  in a container: pass the device on, as with --device /dev/video0")
        return
    for device in found:
        report.text(f"{device.card}: {device.path}")
        if device.problem:
            report.text(f"  {device.node} cannot be opened: {device.problem}")
        report.table(
            ("  format", "width", "height", "fps"),
            (
                (
                    f"  {mode.fourcc}",
                    str(mode.width),
                    str(mode.height),
                    ", ".join(f"{rate:g}" for rate in mode.fps),
                )
                for mode in device.modes
            ),
        )


@command.command(
    "show",
    epilog=example(
        "dreamvla camera show robot.toml -o cameras.png",
        "dreamvla camera show v4l2:/dev/video0 --size 1280x720 -o camera.png",
    ),
)
@click.argument("what", metavar="SOURCE|ROBOT.toml")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("cameras.png"),
    show_default=True,
    help="The picture to write, a PNG.",
)
@click.option("--bundle", type=click.Path(path_type=Path), help="Show what its network gets.")
@click.option("--size", metavar="WIDTHxHEIGHT", help="Size of a SOURCE's frames.  [640x480]")
@click.option("--frames", type=click.IntRange(1, 10), default=3, help="Rows in the picture.")
@click.option("--force", is_flag=True, help="Replace an existing picture.")
@shared_options
def show(
    what: str,
    output: Path,
    bundle: Path | None,
    size: str | None,
    frames: int,
    force: bool,
    report: Report,
) -> None:
    """Draw what the cameras show, side by side, and judge rate, age and skew.

    SOURCE is kind:device, as in v4l2:/dev/video0, file:episode.mp4 or simulated.
    """
    from .camera_sheet import draw_sheet
    from .written import require_free

    require_free(output, force)
    views = _views(what, bundle, size)
    report.progress(f"opening {' and '.join(views)}")
    threads: dict[Role, CameraThread] = {}
    try:
        for role, view in views.items():
            threads[role] = _opened(view)
        time.sleep(WATCHED_S)
        now_s = time.monotonic()
        _tell(threads, views, now_s, report)
        times_s = [now_s - WATCHED_S * row / frames for row in reversed(range(frames))]
        draw_sheet(output, [*threads.values()], times_s, force)
    finally:
        for thread in threads.values():
            thread.close()
    report.text(f"drawn to {output}")
    report.document({"picture": output})


@command.command("swap", epilog=example("dreamvla camera swap robot.toml"))
@click.argument("robot", type=click.Path(path_type=Path))
@shared_options
def swap(robot: Path, report: Report) -> None:
    """Exchange primary and wrist camera in a robot file; comments stay."""
    from dreamvla_edge.runtime.robot import load_robot

    from .written import write_file

    load_robot(robot)
    write_file(robot, swapped(robot.read_text(encoding="utf-8")).encode())
    cameras = load_robot(robot).cameras
    for role in ("primary", "wrist"):
        source = getattr(cameras, role)
        report.text(f"{role}: {source.kind} {source.device}".rstrip())
        report.document({role: {"kind": source.kind, "device": source.device}})


def swapped(text: str) -> str:
    """A robot file with the names of its two camera tables exchanged and all else as it was.

    Raises RobotError if the cameras are written in another form than [cameras.primary].
    """
    import msgspec

    from dreamvla_edge.runtime.errors import RobotError

    other = {"primary": "wrist", "wrist": "primary"}
    found = re.sub(
        r"^([ \t]*\[?[ \t]*cameras[ \t]*\.[ \t]*)(primary|wrist)\b",
        lambda match: match[1] + other[match[2]],
        text,
        flags=re.MULTILINE,
    )
    before, after = (msgspec.toml.decode(each) for each in (text, found))
    cameras = before["cameras"]
    before["cameras"] = cameras | {role: cameras[other[role]] for role in other}
    if after != before:
        raise RobotError(
            "the cameras stand in a form that cannot be exchanged safely",
            "two tables [cameras.primary] and [cameras.wrist]",
            "write them so, or exchange the two by hand",
        )
    return found


def _views(what: str, bundle: Path | None, size: str | None) -> dict[Role, View]:
    """By role: where frames come from and what they shall be."""
    from dreamvla_edge.runtime.bundle import open_bundle
    from dreamvla_edge.runtime.cameras.fit import native_specification
    from dreamvla_edge.runtime.robot import load_robot

    sources: dict[Role, CameraSource]
    if what.endswith(".toml"):
        if size is not None:
            raise click.UsageError("--size is for a SOURCE; a robot file has its own sizes")
        cameras = load_robot(Path(what)).cameras
        sources = {"primary": cameras.primary, "wrist": cameras.wrist}
    else:
        sources = {"primary": _source(what, size)}
    wanted = open_bundle(bundle).manifest.specification.cameras if bundle else ()
    named: dict[Role, CameraSpecification] = {each.role: each for each in wanted}
    return {
        role: (source, named[role] if named else native_specification(source, role))
        for role, source in sources.items()
    }


def _source(text: str, size: str | None) -> CameraSource:
    """A source from the command line: kind:device, or module:Class."""
    from dreamvla_edge.runtime.cameras import CAMERAS
    from dreamvla_edge.runtime.cameras.source import CameraSource

    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", size or "640x480")
    if match is None:
        raise click.UsageError(f"--size {size} is not of the form 640x480")
    kind, _, device = text.partition(":")
    if kind not in CAMERAS:
        kind, device = text, ""
    return CameraSource(kind=kind, device=device, width=int(match[1]), height=int(match[2]))


def _opened(view: View) -> CameraThread:
    from dreamvla_edge.runtime.cameras.camera_pair import open_thread

    return open_thread(*view)


def _tell(
    threads: dict[Role, CameraThread], views: Mapping[Role, View], now_s: float, report: Report
) -> None:
    """The table of what was seen until now_s [s, monotonic]."""
    from dreamvla_edge.runtime.cameras.history import pairs

    rows, entries, stamps = [], [], []
    for role, thread in threads.items():
        source, specification = views[role]
        stamps.append(stamps_s := [frame.stamp_s for frame in thread.ring.frames()])
        verdict = thread.verdict(now_s)
        span_s = stamps_s[-1] - stamps_s[0] if len(stamps_s) > 1 else 0.0
        rate_hz = (len(stamps_s) - 1) / span_s if span_s else None
        age_s = now_s - stamps_s[-1] if stamps_s else None
        entry = {
            "role": role,
            "kind": source.kind,
            "device": source.device,
            "width": specification.width,
            "height": specification.height,
            "rate_hz": rate_hz,
            "age_s": age_s,
            "condition": verdict.condition,
            "reason": verdict.reason,
        }
        entries.append(entry)
        rate = "" if rate_hz is None else f"{rate_hz:.1f}"
        age = "" if age_s is None else f"{age_s * 1e3:.0f}"
        size = f"{specification.width} x {specification.height}"
        rows.append((role, size, rate, age, verdict.condition, verdict.reason))
    report.table(("camera", "size", "Hz", "age [ms]", "verdict", ""), rows)
    report.document({"cameras": entries})
    if len(stamps) == 2 and (found := pairs([now_s], *stamps)):
        skew_s = abs(stamps[0][found[0].primary] - stamps[1][found[0].wrist])
        report.text(f"skew of the newest pair: {skew_s * 1e3:.1f} ms")
        report.document({"skew_s": skew_s})
