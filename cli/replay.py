"""`dreamvla replay`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .bundle_path import BundlePath
from .command import WrongUsage, example, shared_options
from .number import Number
from .report import Report
from .sampler_name import sampler_option

if TYPE_CHECKING:
    from dreamvla_edge.runtime.recording.recording import Recording


@click.command(
    "replay",
    epilog=example(
        "dreamvla replay recording --policy bundle",
        "dreamvla replay recording --arm robot.toml --speed 0.25",
        "dreamvla replay recording --plot recording.svg",
    ),
)
@click.argument("recording", type=click.Path(path_type=Path))
@click.option("--policy", type=BundlePath(), help="Bundle that sees it all again.")
@click.option("--arm", type=click.Path(path_type=Path), help="Robot file whose arm moves again.")
@click.option(
    "--speed",
    type=Number(0, 1, min_open=True),
    default=1.0,
    help="Share of the recorded speed, with --arm.",
    show_default=True,
)
@sampler_option
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the joints as an SVG.")
@click.option("--force", is_flag=True, help="Replace an existing picture.")
@shared_options
def command(
    recording: Path,
    policy: Path | None,
    arm: Path | None,
    speed: float,
    sampler: str | None,
    plot: Path | None,
    force: bool,
    report: Report,
) -> None:
    """Give a recording to a policy or to an arm again, or draw it."""
    from dreamvla_edge.runtime.recording.recording import open_recording

    if policy is None and arm is None and plot is None:
        raise WrongUsage(
            "nothing to do with the recording",
            "one of --policy BUNDLE, --arm ROBOT.toml and --plot PICTURE.svg",
            "dreamvla replay --help",
        )
    opened = open_recording(recording)
    for name, count in opened.lost_bytes.items():
        report.text(f"{name} was cut off: {count} bytes at its end are not used")
    if plot is not None:
        _plot(opened, plot, force, report)
    if policy is not None:
        _into_policy(opened, policy, sampler, report)
    if arm is not None:
        from .replay_arm import into_arm

        into_arm(opened, arm, speed, report)


def _plot(recording: Recording, plot: Path, force: bool, report: Report) -> None:
    from dreamvla_edge.runtime.recording.plot import draw

    from .written import require_free, write_file

    require_free(plot, force)
    write_file(plot, draw(recording).encode())
    report.text(f"drawn to {plot}")
    report.document({"plot": plot})


def _into_policy(recording: Recording, bundle: Path, sampler: str | None, report: Report) -> None:
    from dreamvla_edge.runtime.bundle import open_bundle
    from dreamvla_edge.runtime.errors import RecordingError
    from dreamvla_edge.runtime.manifest import contract_sha256
    from dreamvla_edge.runtime.policy import Policy
    from dreamvla_edge.runtime.recording.replay import replayed
    from dreamvla_edge.runtime.samplers.named import replacement

    report.progress(f"loading {bundle}")
    opened = open_bundle(bundle)
    with Policy(opened, sampler=replacement(opened.manifest, sampler)) as policy:
        manifest = opened.manifest
        if manifest.sampler is not None and any(step.noise is None for step in recording.steps):
            raise RecordingError(
                f"{recording.folder} holds steps without the noise their chunk was sampled with",
                "the noise of every step: chunks from other noise cannot be compared",
                "record again with `dreamvla run --record`",
            )
        contract = (manifest.network, manifest.specification, manifest.preprocessing)
        same = contract_sha256(*contract) == recording.header.contract_sha256
        report.progress(f"replaying {len(recording.steps)} steps")
        result = replayed(recording, policy)
    worst = result.worst
    report.text(
        f"{len(result.errors)} steps: the largest difference of a chunk is {worst:.2e} of its"
        f" largest value, at step {result.errors.index(worst)}"
    )
    if not same:
        report.text(f"it was recorded with another bundle ({recording.header.bundle or 'none'})")
    if not recording.header.lossless:
        report.text("frames were recorded as JPEG, so the policy did not see quite the same")
    if result.repeated:
        report.text(
            f"{result.repeated} frames were dropped while recording; the one before stood in"
        )
    report.document(
        {
            "error": worst,
            "errors": result.errors,
            "repeated_frames": result.repeated,
            "same_contract": same,
            "lossless": recording.header.lossless,
        }
    )
