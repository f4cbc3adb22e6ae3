"""`dreamvla export`."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import click

from .command import example, run, shared_options
from .report import Report


@click.command(
    "export",
    epilog=example(
        "dreamvla export checkpoint.pth -o bundle --data-set calvin",
        "dreamvla export --template so101 > my_arm.toml",
    ),
)
@click.argument("checkpoint", type=click.Path(path_type=Path), required=False)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Bundle to write.")
@click.option("--data-set", help="calvin, libero, or a data-set file (see --template).")
@click.option("--template", help="Print a commented data-set file and stop: so101.")
@click.option("--force", is_flag=True, help="Replace an existing bundle, atomically.")
@shared_options
def command(
    checkpoint: Path | None,
    output: Path | None,
    data_set: str | None,
    template: str | None,
    force: bool,
    report: Report,
) -> None:
    """Turn a checkpoint into a bundle of ONNX subgraphs.

    CHECKPOINT is a released file (torch.save) or .safetensors. Nothing is left behind when
    anything goes wrong, and a bundle is only written once it is proven equal to the network.
    """
    from dreamvla_edge.export import data_set as data_sets

    if template is not None:
        text = data_sets.template(template)
        if not report.as_json:
            click.echo(text, nl=False)
        report.document({"template": template, "text": text})
        return
    missing = [
        name
        for name, value in (("CHECKPOINT", checkpoint), ("-o", output), ("--data-set", data_set))
        if value is None
    ]
    if checkpoint is None or output is None or data_set is None:
        raise click.UsageError(
            f"missing {', '.join(missing)}: a checkpoint, where the bundle goes, and the data set"
            f" it was trained on ({', '.join(data_sets.NAMES)} or a file)"
        )
    data = data_sets.load_data_set(data_set)  # before torch is loaded, which takes seconds
    from dreamvla_edge.export.export import export

    bundle = export(checkpoint, output, data, force=force, progress=report.progress)
    size = sum(file.stat().st_size for file in output.iterdir())
    network = bundle.manifest.network
    report.text(
        f"{output}: {len(bundle.manifest.subgraphs)} subgraphs, {size / 1e6:.0f} MB, window"
        f" {network.window}, verified against the network"
    )
    report.next("inspect", output.resolve())
    report.document(
        {
            "bundle": output.resolve(),
            "bytes": size,
            "subgraphs": list(bundle.manifest.subgraphs),
            "source_sha256": bundle.manifest.source_sha256,
        }
    )


def main() -> NoReturn:
    """Entry point of `dreamvla-export`."""
    run(command, "dreamvla-export")
