"""`dreamvla doctor`."""

from __future__ import annotations

from pathlib import Path

import click

from .bundle_path import BundlePath
from .command import example, shared_options
from .report import Report


@click.command(
    "doctor",
    epilog=example(
        "dreamvla doctor localhost",
        "dreamvla doctor robot@jetson",
        "dreamvla doctor robot@jetson --report help.zip",
        "dreamvla doctor recording -v",
    ),
)
@click.argument("target", required=False)
@click.option(
    "--report",
    "zip_file",
    type=click.Path(path_type=Path),
    help="Write what somebody who helps needs into a zip file; nothing is sent.",
)
@click.option("--bundle", type=BundlePath(), help="Put this bundle's bundle.json into the report.")
@click.option("--images", is_flag=True, help="Put frames of the recording into the report.")
@click.option("--force", is_flag=True, help="Replace an existing report.")
@shared_options
def command(
    target: str | None,
    zip_file: Path | None,
    bundle: Path | None,
    images: bool,
    force: bool,
    report: Report,
) -> None:
    """Say what is wrong with a machine, or with the arm in a recording: why it was slow or shook.

    TARGET is nothing or localhost for this machine, [user@]HOST for another one that ssh reaches
    (nothing is installed or changed there), or the folder of a recording. Every finding comes with
    its cure; an error keeps a command from working, a warning makes it worse.
    """
    from .doctor_machine import examine
    from .doctor_recording import show_diagnosis
    from .doctor_report import write_report
    from .written import require_free

    recording = Path(target) if target is not None and _is_path(target) else None
    if zip_file is None and (bundle is not None or images):
        raise click.UsageError("--bundle and --images say what goes into --report FILE.zip")
    if images and recording is None:
        raise click.UsageError("--images needs a recording, which has frames")
    if zip_file is not None:
        require_free(zip_file, force)
    if recording is not None:
        diagnosed = show_diagnosis(recording, report)
        if zip_file is not None:
            write_report(zip_file, report, bundle=bundle, recording=diagnosed, images=images)
        return
    examination = examine(target, report)
    if zip_file is not None:
        write_report(zip_file, report, target, examination.facts, bundle)
    examination.require_no_error()


def _is_path(target: str) -> bool:
    """Whether a target is a folder, or was meant to be one: no host has a slash in its name."""
    return Path(target).is_dir() or "/" in target or target in (".", "..")
