"""`dreamvla status`."""

from __future__ import annotations

import click

from .command import example, shared_options
from .report import Report
from .service_order import order, place_options, shown


@click.command("status", epilog=example("dreamvla status jetson", "dreamvla status --json"))
@place_options
@shared_options
def command(host: str, python: str, user: bool, name: str, report: Report) -> None:
    """Say what the service of a flashed device does.

    HOST is as ssh takes it; without one it is this machine.
    """
    answer = order(host, name, user, python, {"order": "status"})
    report.text(shown(answer))
    for why in ("error", "last_error"):
        if answer[why]:
            report.text(f"  {answer[why]['found']}\n  what to do: {answer[why]['cure']}")
    if not answer["has_robot"]:
        report.text(f"  there is no {answer['robot']} yet: make one with `dreamvla robot init`")
    report.document(answer)
