"""`dreamvla verify`."""

from __future__ import annotations

from pathlib import Path

import click

from .bundle_path import BundlePath
from .command import example, shared_options
from .report import Report


@click.command(
    "verify",
    epilog=example(
        "dreamvla verify bundle",
        "dreamvla verify bundle --golden tests/golden --case calvin_small",
    ),
)
@click.argument("bundle", type=BundlePath())
@click.option("--golden", type=click.Path(path_type=Path), help="Folder of golden cases.")
@click.option("--case", help="Which case of that folder.")
@click.option("--seed", type=int, help="Seed of the case's observations.")
@click.option("--backend", default="onnxruntime", show_default=True, help="What runs the graphs.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Threads of the back end.")
@shared_options
def command(
    bundle: Path,
    golden: Path | None,
    case: str | None,
    seed: int | None,
    backend: str,
    threads: int | None,
    report: Report,
) -> None:
    """Check that a bundle computes what the network computes.

    Replays the golden data that the export recorded, one row for each subgraph and use, and
    names the first stage that is out of tolerance. With --golden, runs a case in the format of
    the golden data of the released code instead (its synth.py is run).
    """
    from dreamvla_edge.runtime.bundle import open_bundle
    from dreamvla_edge.runtime.golden_case import compare_case
    from dreamvla_edge.runtime.verify import require, verify

    if (golden is None) != (case is None) or (golden is None and seed is not None):
        raise click.UsageError("--golden and --case belong together, and --seed to them")
    report.progress(f"checking the hashes of {bundle}")
    opened = open_bundle(bundle)
    report.progress("running the graphs")
    if golden is not None and case is not None:
        stages = compare_case(opened, golden, case, seed, backend, threads)
    else:
        stages = verify(opened, backend, threads)
    report.table(
        ("stage", "use", "error", "tolerance", ""),
        (
            (s.name, s.use, f"{s.error:.2g}", f"{s.tolerance:g}", "" if s.passed else "WRONG")
            for s in stages
        ),
    )
    rows = [{**stage._asdict(), "passed": stage.passed} for stage in stages]
    report.document({"passed": all(stage.passed for stage in stages), "stages": rows})
    require(stages, opened)
