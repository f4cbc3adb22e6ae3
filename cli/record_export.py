"""`dreamvla record export`."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from .command import example, shared_options
from .report import Report

LEFT_OUT = ("failure", "discard")


@click.command(
    "export",
    epilog=example(
        "dreamvla record export demos/* --format lerobot -o dataset",
        "dreamvla record export run1 run2 --format calvin -o dataset",
    ),
)
@click.argument("recordings", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "layout",
    type=click.Choice(["lerobot", "calvin"]),
    required=True,
    help="LeRobot v3.0 (Parquet and video), or CALVIN's folder of npz files.",
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to make."
)
@click.option("--with-failures", is_flag=True, help="Also what ended as failure or discard.")
@shared_options
def export(
    recordings: tuple[Path, ...], layout: str, output: Path, with_failures: bool, report: Report
) -> None:
    """Make one data set of recordings; states and actions stay equal bit for bit.

    Every reset or new instruction begins an episode. LeRobot's needs the extra [record]. CALVIN's
    annotations are a pickle, as its tools expect; `lang_annotations.json` beside it says the same.
    """
    from dreamvla_edge.runtime.errors import RecordingError
    from dreamvla_edge.runtime.recording.calvin import write_calvin
    from dreamvla_edge.runtime.recording.demonstration import demonstrations
    from dreamvla_edge.runtime.recording.lerobot import write_lerobot
    from dreamvla_edge.runtime.recording.recording import open_recording

    report.progress(f"reading {len(recordings)} recordings")
    opened = [open_recording(folder) for folder in recordings]
    chosen = [r for r in opened if with_failures or r.outcome not in LEFT_OUT]
    for recording in opened:
        if recording not in chosen:
            report.text(f"{recording.folder} is left out: {recording.outcome}")
        for name, count in recording.lost_bytes.items():
            report.text(f"{recording.folder / name} was cut off: {count} bytes are not used")
    if not chosen:
        raise RecordingError(
            f"all {len(opened)} recordings ended as failure or discard",
            "at least one other",
            "take failures too with --with-failures",
        )
    repeated = sum(part.repeated for recording in chosen for part in demonstrations(recording))
    if repeated:
        report.text(f"{repeated} frames were dropped while recording; the one before stands in")
    write = write_lerobot if layout == "lerobot" else write_calvin
    with _new_folder(output) as partial:
        report.progress(f"writing {output}")
        episodes = write(chosen, partial)
    steps = sum(len(recording.steps) for recording in chosen)
    report.text(f"{output}: {episodes} episodes, {steps} steps, {layout}")
    report.document(
        {
            "output": output,
            "format": layout,
            "episodes": episodes,
            "steps": steps,
            "recordings": [recording.folder for recording in chosen],
            "repeated_frames": repeated,
        }
    )


@contextmanager
def _new_folder(output: Path) -> Iterator[Path]:
    """A folder beside `output` that becomes it if the body succeeds, else vanishes.

    Raises OutputError.
    """
    from dreamvla_edge.runtime.errors import OutputError

    if output.exists() or output.is_symlink():
        raise OutputError(f"{output} exists", "a new name", "choose another name")
    partial: Path | None = None
    try:
        partial = Path(tempfile.mkdtemp(prefix=f".{output.name}.partial-", dir=output.parent))
        partial.chmod(0o777 & ~_umask())
        yield partial
        partial.rename(output)
    except OSError as error:
        raise OutputError(
            f"{output} cannot be written ({error.strerror or error})",
            "a folder in an existing, writable directory with room",
            "choose another place, or make room",
        ) from error
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
