"""`dreamvla arm virtual`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .command import example, shared_options
from .report import Report

if TYPE_CHECKING:
    from dreamvla_edge.sim.bus_process import BusProcess


@click.command(
    "virtual",
    epilog=example(
        "dreamvla arm virtual so101 --link arm",
        "dreamvla arm virtual koch --log bus.jsonl",
    ),
)
@click.argument("name")
@click.option(
    "--link", type=click.Path(path_type=Path), help="A path that always leads to the port."
)
@click.option(
    "--log", type=click.Path(path_type=Path), help="File for every byte and every motion."
)
@shared_options
def virtual(name: str, link: Path | None, log: Path | None, report: Report) -> None:
    """Run the servos of an arm without the arm, behind a real serial port.

    NAME is so101, koch or a TOML description. Prints the port, which any program can open, and
    then carries out commands from stdin, such as `fault 3 stuck`, `unplug` or `position 1`, until
    `quit`, Ctrl-C or the end of stdin; `python -m dreamvla_edge.sim.bus_process --help` lists
    them.
    """
    from dreamvla_edge.runtime.arms.description import load_description
    from dreamvla_edge.runtime.errors import OutputError
    from dreamvla_edge.sim.bus_process import BusProcess

    load_description(name)
    if link is not None and link.exists() and not link.is_symlink():
        raise OutputError(f"{link} is no link", "a new name, or a link", "choose another --link")
    commands = 0
    with BusProcess(name, link=link, log=log) as bus:
        try:
            report.text(bus.port)
            report.document({"port": bus.port})
            sys.stdout.flush()
            for line in sys.stdin:
                if line.strip() == "quit":
                    break
                commands += 1
                _carry_out(bus, line.strip(), report)
        except KeyboardInterrupt:  # how people end it
            pass
    report.document({"commands": commands})


def _carry_out(bus: BusProcess, line: str, report: Report) -> None:
    try:
        answer = f"ok {bus.command(line)}".rstrip()
    except ValueError as error:
        answer = f"error {error}"
    report.text(answer)
    sys.stdout.flush()
