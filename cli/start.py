"""`dreamvla start`."""

from __future__ import annotations

import click

from .command import example, shared_options
from .number import Number
from .report import Report
from .service_order import order, place_options, shown


@click.command(
    "start",
    epilog=example(
        "dreamvla start --instruction 'open the drawer' --shadow",
        "dreamvla start jetson --instruction 'open the drawer' --speed 0.25",
    ),
)
@place_options
@click.option("--instruction", required=True, help="What the arm is told.")
@click.option(
    "--speed",
    type=Number(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Share of the arm's velocity limits.",
)
@click.option("--shadow", is_flag=True, help="Torque off: look and think, do nothing.")
@shared_options
def command(
    host: str,
    python: str,
    user: bool,
    name: str,
    instruction: str,
    speed: float,
    shadow: bool,
    report: Report,
) -> None:
    """Let the service of a flashed device drive its arm.

    HOST is as ssh takes it; without one it is this machine. Waits until the arm is held and the
    policy drives, or says why it does not.
    """
    report.progress(f"starting {name} on {host}")
    words = {"order": "start", "instruction": instruction, "speed": speed, "shadow": shadow}
    answer = order(host, name, user, python, words)
    report.text(shown(answer))
    report.document(answer)
