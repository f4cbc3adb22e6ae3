"""`dreamvla run`."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .bundle_path import BundlePath
from .command import example, shared_options
from .number import Number
from .report import Report
from .sampler_name import sampler_option

if TYPE_CHECKING:
    from dreamvla_edge.runtime.recording.recorder import Recorder

    from .keyboard import Keyboard
    from .run_status import Status
    from .session import Session

_SHOW_S = 0.2


@click.command(
    "run",
    epilog=example(
        "dreamvla run bundle --robot robot.toml --instruction 'open the drawer' --shadow",
        "dreamvla run bundle --robot robot.toml --instruction 'open the drawer' --speed 0.25",
        "dreamvla run bundle --robot robot.toml --instruction 'open the drawer' --record run1",
    ),
)
@click.argument("bundle", type=BundlePath())
@click.option(
    "--robot", "robot_file", type=click.Path(path_type=Path), required=True, help="Robot file."
)
@click.option("--instruction", required=True, help="What the arm is told.")
@click.option("--shadow", is_flag=True, help="Torque off: show what would be done, do nothing.")
@click.option(
    "--speed",
    type=Number(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Share of the arm's velocity limits.",
)
@click.option(
    "--time-base",
    type=click.Choice(["auto", "real", "stretched"]),
    default="auto",
    show_default=True,
    help="real: as in training, or not at all; stretched: slower, as the machine can.",
)
@sampler_option
@click.option("--seconds", type=Number(0.1), help="End after so long (default: never).")
@click.option("--limp", is_flag=True, help="At the end lower the arm and take its torque.")
@click.option(
    "--record", type=click.Path(path_type=Path), help="Folder for a recording of the run."
)
@click.option("--lossless", is_flag=True, help="Record frames as PNG instead of JPEG.")
@click.option("--backend", default="onnxruntime", show_default=True, help="What runs the graphs.")
@click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    help="Of the policy (default: one per core where that helps).",
)
@click.option("--no-realtime", is_flag=True, help="Do not ask for real-time scheduling.")
@click.option("--force", is_flag=True, help="Run although arm, cameras and bundle do not match.")
@shared_options
def command(
    bundle: Path,
    robot_file: Path,
    instruction: str,
    shadow: bool,
    speed: float,
    time_base: str,
    sampler: str | None,
    seconds: float | None,
    limp: bool,
    record: Path | None,
    lossless: bool,
    backend: str,
    threads: int | None,
    no_realtime: bool,
    force: bool,
    report: Report,
) -> None:
    """Drive an arm with a bundle, guarded by a process of its own.

    First motion is a ladder: --shadow, then --speed 0.25, then full. While it runs: type a new
    instruction, space = stop, r = reset, c = clear a stop, q = quit. However it ends, the arm holds
    where it is with torque on, or is lowered first with --limp.
    """
    from dreamvla_edge.runtime.bundle import open_bundle

    from .last_run import keep_last_run
    from .session import Wishes, session

    wishes = Wishes(
        instruction=instruction,
        speed=speed,
        shadow=shadow,
        limp=limp,
        ordinary=no_realtime,
        time_base=time_base,  # type: ignore[arg-type]
        record=record,
        lossless=lossless,
        backend=backend,
        threads=threads,
        sampler=sampler,
        force=force,
    )
    with session(open_bundle(bundle), robot_file, wishes, report.progress) as parts:
        status = _drive(parts, seconds, report)
    report.document(status.document())
    keep_last_run(bundle, status.document())
    report.text(status.line)
    if parts.recorder is not None:
        _tell(parts.recorder, report)
    if shadow:
        report.next(*_again(bundle, robot_file, instruction), "--speed", 0.25)
    elif speed < 1:
        report.next(*_again(bundle, robot_file, instruction))


def _tell(recorder: Recorder, report: Report) -> None:
    """What became of the recording: nothing is lost without a word."""
    written = recorder.written
    report.document({"recording": {"folder": recorder.folder, **asdict(written)}})
    report.text(f"recording: {recorder.folder}; look at it with `dreamvla doctor`")
    if written.dropped:
        lost = ", ".join(f"{count} of {name}" for name, count in written.dropped.items())
        report.text(f"  records that could not be kept: {lost}")
    if written.stopped:
        report.text(f"  {written.stopped}")


def _again(bundle: Path, robot_file: Path, instruction: str) -> tuple[object, ...]:
    return "run", bundle, "--robot", robot_file, "--instruction", instruction


def _drive(parts: Session, seconds: float | None, report: Report) -> Status:
    """Steps until time is up or a person ends it."""
    from dreamvla_edge.runtime.errors import GuardianError
    from dreamvla_edge.runtime.guardian.message import Order

    from .keyboard import KEYS, Keyboard, has_keys
    from .run_status import Status

    joints = tuple(joint.name for joint in parts.description.joints)
    status = Status(parts.base, joints, parts.guardian.output.strip())
    end_s = float("inf") if seconds is None else time.monotonic() + seconds
    shown_s = 0.0

    def stop() -> None:
        with suppress(GuardianError):  # it has ended, and so does the run
            parts.watch.order(Order.STOP, "stopped at the keyboard")

    with Keyboard(stop) as keyboard:
        report.text(KEYS if has_keys() else "running; Ctrl-C ends")
        while time.monotonic() < end_s and _obey(keyboard, parts):
            decision = parts.pilot.step()
            if decision is not None:
                status.decided(decision)
            status.reported(parts.watch.reports())
            if sys.stderr.isatty() and report.verbosity >= 0:
                if time.monotonic() - shown_s >= _SHOW_S:
                    shown_s = time.monotonic()
                    click.echo(f"\r\x1b[K{status.line} > {keyboard.line}", nl=False, err=True)
    if shown_s:
        click.echo(err=True)
    return status


def _obey(keyboard: Keyboard, parts: Session) -> bool:
    """Does what the keys say; False when the run shall end."""
    from dreamvla_edge.runtime.errors import ObservationError
    from dreamvla_edge.runtime.guardian.message import Order

    for key in keyboard.take():
        parts.note(key.action, key.text)
        if key.action == "quit":
            return False
        if key.action == "clear":
            parts.watch.order(Order.CLEAR)
        elif key.action == "reset":
            parts.watch.order(Order.HOLD, "reset")
            parts.pilot.instruct(parts.pilot.instruction)
        elif key.action == "instruct":
            parts.watch.order(Order.HOLD, "a new instruction")
            try:
                parts.pilot.instruct(key.text)
            except ObservationError as error:  # the arm goes on as it was told before
                click.echo(f"\n{error}", err=True)
    return True
