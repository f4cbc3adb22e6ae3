"""Orders to the service of a robot, here or on another device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

LOCAL = "localhost"


def place_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds HOST, --name, --user and --python: where a service is."""
    for add in (
        click.option("--python", default="python3", show_default=True, help="On the device."),
        click.option("--user", is_flag=True, help="A service that was installed with --user."),
        click.option("--name", default="arm", show_default=True, help="Of the robot."),
        click.argument("host", default=LOCAL),
    ):
        function = add(function)
    return function


def order(host: str, name: str, user: bool, python: str, words: dict[str, Any]) -> dict[str, Any]:
    """The service's answer. Raises DeviceError if there is none, or it refuses."""
    from dreamvla_edge.deploy.connection import Connection
    from dreamvla_edge.runtime.errors import DeviceError

    with Connection(host, python) as connection:
        connection.ask("hello", name=name, user=user)
        answer = connection.ask("order", order=words)
    refused = answer.get("error")
    if refused and words["order"] != "status":
        raise DeviceError(**refused)
    return answer


def shown(answer: dict[str, Any]) -> str:
    """One line for people."""
    line = str(answer["state"])
    guardian = answer["guardian"]
    if guardian is not None:
        line += f" ({guardian['state']}{': ' * bool(guardian['reason'])}{guardian['reason']})"
    return f"{line}, {answer['bundle']} on {answer['backend']}, dreamvla-edge {answer['version']}"
