"""`dreamvla serve`."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from .bundle_path import BundlePath
from .command import example, shared_options
from .report import Report


@click.command(
    "serve",
    epilog=example("dreamvla serve bundle --robot robot.toml --control control.socket"),
)
@click.argument("bundle", type=BundlePath())
@click.option(
    "--robot", "robot_file", type=click.Path(path_type=Path), required=True, help="Robot file."
)
@click.option(
    "--control", type=click.Path(path_type=Path), required=True, help="Socket for orders."
)
@click.option("--backend", default="onnxruntime", show_default=True, help="What runs the graphs.")
@click.option(
    "--threads",
    type=click.IntRange(1, 1024),
    help="Of the policy (default: one per core where that helps).",
)
@shared_options
def command(
    bundle: Path,
    robot_file: Path,
    control: Path,
    backend: str,
    threads: int | None,
    report: Report,
) -> None:
    """Load a policy and wait for orders to drive: the service of a flashed device.

    It begins in `stop`: torque is untouched and no port is opened until `dreamvla start`. Reports
    ready, its state and signs of life to systemd where that has started it. SIGTERM ends it with
    the arm held.
    """
    from dreamvla_edge.deploy.device.control_server import ControlServer

    from .service import Service

    service = Service(bundle, robot_file, backend, threads)
    with contextlib.suppress(KeyboardInterrupt), ControlServer(control, service.answer):
        service.run()
    report.document({"bundle": bundle})
