"""`dreamvla rollback`."""

from __future__ import annotations

import click

from .command import example, shared_options
from .report import Report
from .service_order import place_options


@click.command(
    "rollback", epilog=example("dreamvla rollback jetson", "dreamvla rollback jetson --name left")
)
@place_options
@click.option("--stop-arm", is_flag=True, help="Bring a policy that drives to hold first.")
@click.option("--ask-sudo", is_flag=True, help="Ask for the password that sudo wants there.")
@shared_options
def command(
    host: str,
    python: str,
    user: bool,
    name: str,
    stop_arm: bool,
    ask_sudo: bool,
    report: Report,
) -> None:
    """Go back to the release before, on a flashed device.

    HOST is as ssh takes it; without one it is this machine. The release before was verified when
    it was flashed and has its own version of the tool. The arm is not moved; robot file and
    calibration stay.
    """
    from dreamvla_edge.deploy.connection import Connection

    password = click.prompt("sudo password", hide_input=True, err=True) if ask_sudo else ""
    with Connection(host, python, progress=report.progress) as connection:
        login = connection.ask("hello", name=name, user=user, ask_sudo=password)["user"]
        connection.ask("prepare", owner=login)
        connection.ask("still", stop_arm=stop_arm)
        settled = connection.ask("settle")["settled"]
        if settled:
            report.text(settled)
        report.progress("going back")
        done = connection.ask("back")
    report.text(f"{done['release']} is in force again on {host}; {done['withdrawn']} is withdrawn")
    report.document({name: done[name] for name in ("release", "withdrawn", "state", "bundle")})
