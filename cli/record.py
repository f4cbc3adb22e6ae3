"""`dreamvla record`."""

from __future__ import annotations

from pathlib import Path

import click

from .command import WrongUsage, example, shared_options
from .number import Number
from .record_export import export
from .report import Report


class RecordGroup(click.Group):
    """`record export …`, or `record ROBOT.toml …` for a demonstration."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Whatever is no name of a command is a robot file."""
        if args and args[0] not in self.commands:
            args = ["demonstration", *args]
        return super().resolve_command(ctx, args)


@click.group(
    "record",
    cls=RecordGroup,
    epilog=example(
        "dreamvla record demonstration --help",
        "dreamvla record export --help",
    ),
)
def command() -> None:
    """Record demonstrations, or export recordings as data sets.

    `record ROBOT.toml` begins a demonstration.

    Both take --json, -v and -q; each has its own --help with an example.
    """


command.add_command(export)


@command.command(
    "demonstration",
    epilog=example(
        "dreamvla record robot.toml -o demos --task 'open the drawer' --leader /dev/ttyACM1",
        "dreamvla record robot.toml -o demos --task 'open the drawer' --by-hand",
    ),
)
@click.argument("robot_file", metavar="ROBOT", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder of recordings."
)
@click.option("--task", required=True, help="What is shown, in words.")
@click.option("--leader", help="Port of an arm of the same kind to lead with, or its robot file.")
@click.option("--by-hand", is_flag=True, help="Lead the arm itself; its torque goes off.")
@click.option(
    "--rate",
    "rate_hz",
    type=Number(1, 100),
    default=30.0,
    show_default=True,
    help="Steps per second [Hz].",
)
@click.option("--lossless", is_flag=True, help="Keep frames as PNG instead of JPEG.")
@click.option("--no-realtime", is_flag=True, help="Do not ask for real-time scheduling.")
@shared_options
def demonstration(
    robot_file: Path,
    output: Path,
    task: str,
    leader: str | None,
    by_hand: bool,
    rate_hz: float,
    lossless: bool,
    no_realtime: bool,
    report: Report,
) -> None:
    """Record demonstrations, shown with a leader arm or by hand.

    Enter begins one; s ends it as a success, f as a failure, d discards it; q quits. Each becomes
    a recording of its own in the output folder, numbered.
    """
    if by_hand == (leader is not None):
        raise WrongUsage(
            "both --leader and --by-hand" if by_hand else "neither --leader nor --by-hand",
            "one of them",
            "dreamvla record demonstration --help",
        )
    from .record_arm import Wishes, demonstrate

    demonstrate(robot_file, Wishes(output, task, leader, rate_hz, lossless, no_realtime), report)
