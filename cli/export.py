"""`dreamvla export`."""

from __future__ import annotations

from pathlib import Path

import click

from .command import shared_options
from .report import Report


@click.command("export")
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
    r"""Turn a checkpoint into a bundle of ONNX subgraphs.

    CHECKPOINT is a released file (torch.save) or .safetensors. Nothing is left behind when
    anything goes wrong, and a bundle is only written once it is proven equal to the network.

    \b
    Example:
      dreamvla export checkpoint.pth -o bundle --data-set calvin
      dreamvla export --template so101 > my_arm.toml
    """
    from dreamvla_edge.export.data_set import NAMES
    from dreamvla_edge.export.data_set import template as data_set_template

    if template is not None:
        click.echo(data_set_template(template), nl=False)
        return
    missing = [
        name
        for name, value in (("CHECKPOINT", checkpoint), ("-o", output), ("--data-set", data_set))
        if value is None
    ]
    if checkpoint is None or output is None or data_set is None:
        raise click.UsageError(
            f"missing {', '.join(missing)}: a checkpoint, where the bundle goes, and the data set"
            f" it was trained on ({', '.join(NAMES)} or a file)"
        )
    from dreamvla_edge.export.data_set import load_data_set
    from dreamvla_edge.export.export import export

    data = load_data_set(data_set)
    bundle = export(checkpoint, output, data, force=force, progress=report.progress)
    size = sum(file.stat().st_size for file in output.iterdir())
    network = bundle.manifest.network
    report.text(
        f"{output}: {len(bundle.manifest.subgraphs)} subgraphs, {size / 1e6:.0f} MB, window"
        f" {network.window}, verified against the network"
    )
    report.text(f"next: dreamvla inspect {output}")
    report.document(
        {
            "bundle": output.resolve(),
            "bytes": size,
            "subgraphs": list(bundle.manifest.subgraphs),
            "source_sha256": bundle.manifest.source_sha256,
        }
    )


def main() -> None:
    """Entry point of `dreamvla-export`."""
    command.main(prog_name="dreamvla-export")
