"""`dreamvla stop`."""

from __future__ import annotations

import click

from .command import example, shared_options
from .report import Report
from .service_order import order, place_options, shown


@click.command("stop", epilog=example("dreamvla stop jetson", "dreamvla stop jetson --name left"))
@place_options
@shared_options
def command(host: str, python: str, user: bool, name: str, report: Report) -> None:
    """Stop the arm that a service drives: it is held where it is, with torque.

    HOST is as ssh takes it; without one it is this machine. The service stays, with its policy
    loaded, and waits for the next `dreamvla start`.
    """
    answer = order(host, name, user, python, {"order": "stop"})
    report.text(shown(answer))
    report.document(answer)
