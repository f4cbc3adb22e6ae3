"""`dreamvla dream`."""

from __future__ import annotations

from pathlib import Path

import click

from .bundle_path import BundlePath
from .command import WrongUsage, example, shared_options
from .report import Report


@click.command("dream", epilog=example("dreamvla dream bundle recording -o dream"))
@click.argument("bundle", type=BundlePath())
@click.argument("recording", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder to make."
)
@click.option(
    "--episode", type=click.IntRange(0), default=0, show_default=True, help="Of the recording."
)
@shared_options
def command(bundle: Path, recording: Path, output: Path, episode: int, report: Report) -> None:
    """Show what a network expects to see three steps later, beside what came.

    OUTPUT gets a video and a picture of some steps, a row for each camera: the frame now; the
    expected frame where the picture moves; the frame that came; expected depth, near is bright;
    expected semantics, like features in like colours. The network says how a patch varies, not
    its mean colour and contrast: these are lent by the frame that came. Needs the extras [camera]
    and [record], and a bundle with dream heads.
    """
    from dreamvla_edge.runtime.errors import OutputError
    from dreamvla_edge.runtime.policy import Policy
    from dreamvla_edge.runtime.recording.demonstration import demonstrations
    from dreamvla_edge.runtime.recording.recording import open_recording
    from dreamvla_edge.runtime.recording.video import write_video

    from .dream_picture import Dreams, drawn, some_steps

    if output.exists():
        raise OutputError(f"{output} exists", "a new folder", "give another folder with -o")
    opened = open_recording(recording)
    episodes = demonstrations(opened)
    if episode >= len(episodes):
        raise WrongUsage(
            f"episode {episode} of {len(episodes)}",
            f"0 to {len(episodes) - 1}",
            "give another --episode",
        )
    shown = episodes[episode]
    with Policy(bundle) as policy:
        report.progress(f"dreaming {len(shown)} steps: {shown.task!r}")
        dreams = Dreams.of(policy, shown)
    report.progress("drawing")
    pictures = drawn(dreams)
    partial = output.with_name(f".{output.name}.partial")
    partial.mkdir(parents=True)
    try:
        write_video(partial / "dream.mp4", pictures, opened.header.rate_hz)
        some_steps(pictures).save(partial / "dream.png")
        partial.rename(output)
    finally:
        if partial.exists():
            import shutil

            shutil.rmtree(partial)
    error, still = dreams.image_error()
    report.text(f"{output}: {len(pictures)} steps, heads {', '.join(dreams.heads)}")
    report.text(
        f"where the picture moves the expected frame is off by {error:.2f} (a frame that stays as"
        f" it is: {still:.2f}; mean square of pixels of deviation 1)"
    )
    report.document(
        {
            "video": output / "dream.mp4",
            "picture": output / "dream.png",
            "steps": len(pictures),
            "heads": list(dreams.heads),
            "image_error": error,
            "image_error_of_staying": still,
        }
    )
