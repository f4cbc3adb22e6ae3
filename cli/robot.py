"""`dreamvla robot`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .command import example, shared_options
from .report import Report
from .robot_check import check

if TYPE_CHECKING:
    from dreamvla_edge.runtime.arms.adapters import Adapter
    from dreamvla_edge.runtime.arms.description import ArmDescription
    from dreamvla_edge.runtime.cameras.source import CameraSource

ROLES = ("primary", "wrist")
ABSENT = "/dev/v4l/by-path/not-connected"
RULES = "/etc/udev/rules.d/99-dreamvla.rules"


@click.group(
    "robot",
    epilog=example("dreamvla robot init", "dreamvla robot check robot.toml"),
)
def command() -> None:
    """Make or check the file of one robot.

    Both commands take --json, -v and -q; each has its own --help with an example.
    """


command.add_command(check)


@command.command(
    "init",
    epilog=example(
        "dreamvla robot init -o robot.toml --arm so101",
        "dreamvla robot init -o virtual.toml --virtual",
    ),
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("robot.toml"),
    show_default=True,
    help="The file to write.",
)
@click.option(
    "--arm",
    "kind",
    default="so101",
    show_default=True,
    help="so101, koch, or a TOML description of your own.",
)
@click.option("--port", help="The arm's serial port (default: where its servos answer).")
@click.option("--name", help="Of the robot (default: the kind of arm).")
@click.option("--virtual", is_flag=True, help="A simulated arm and simulated cameras.")
@click.option(
    "--udev-rule",
    type=click.Path(path_type=Path),
    help="Only write a udev rule that lets the group dialout open the arm's port.",
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
@shared_options
def init(
    output: Path,
    kind: str,
    port: str | None,
    name: str | None,
    virtual: bool,
    udev_rule: Path | None,
    force: bool,
    report: Report,
) -> None:
    """Write a robot file for the arm and the cameras that are connected.

    Looks for the port on which the servos of this kind of arm answer, and for cameras. Servos are
    only asked who they are.
    """
    from dreamvla_edge.runtime.arms.description import load_description
    from dreamvla_edge.runtime.robot import VIRTUAL, load_robot

    from .robot_text import new_text
    from .written import require_free, write_file

    if virtual and (port or udev_rule):
        raise click.UsageError("--virtual needs no --port and no --udev-rule")
    require_free(udev_rule or output, force)
    description = load_description(kind)
    name = name or description.name
    if udev_rule is not None:
        _write_rule(udev_rule, name, port, report)
        return
    notes: list[str] = []
    if virtual:
        port, cameras = VIRTUAL, _simulated_cameras()
    else:
        port = _port_of(description, port, report)
        cameras, notes = _cameras()
    text = new_text(name, _kind_beside(kind, output), port, cameras, notes)
    write_file(output, text.encode())
    load_robot(output)
    report.text(f"{output}: {description.name} on {port}")
    for role, camera in cameras.items():
        report.text(f"  {role} camera: {camera.kind} {camera.device}".rstrip())
    for note in notes:
        report.text(f"note: {note}")
    report.document(
        {
            "robot": output,
            "arm": kind,
            "port": port,
            "cameras": {role: {"kind": c.kind, "device": c.device} for role, c in cameras.items()},
            "notes": notes,
        }
    )
    report.next("robot", "check", output)


def _kind_beside(kind: str, output: Path) -> str:
    """The kind as the robot file names it: a file by its path from the robot file's folder."""
    import os

    return os.path.relpath(kind, output.parent) if kind.endswith(".toml") else kind


def _port_of(description: ArmDescription, port: str | None, report: Report) -> str:
    """The one port on which all servos of the arm answer. Raises RobotError."""
    from dreamvla_edge.runtime.arms.adapters import adapters
    from dreamvla_edge.runtime.arms.scan import fits, scan
    from dreamvla_edge.runtime.errors import ArmError, RobotError

    tried = [port] if port else [adapter.port for adapter in adapters()]
    answers, fitting, cures = [], [], []
    for candidate in tried:
        report.progress(f"asking the servos on {candidate}")
        try:
            found = scan(candidate, description.protocol, [description.baud])
        except ArmError as error:
            if port:
                raise
            answers.append(error.found)
            cures.append(error.cure)
            continue
        ids = ", ".join(f"{servo.servo} (model {servo.model})" for servo in found)
        answers.append(f"on {candidate} answer {ids or 'no servos'}")
        if fits(description, found):
            fitting.append(candidate)
    if len(fitting) == 1:
        return fitting[0]
    models = ", ".join(f"{servo} (model {model})" for servo, model in description.models.items())
    if fitting:
        raise RobotError(
            f"the servos of a {description.name} answer on {', '.join(fitting)}",
            "one such arm, or the name of its port",
            "name the port of the arm that is meant with --port",
        )
    raise RobotError(
        "; ".join(answers) or "no USB serial adapter is connected",
        f"the servos of a {description.name} at {description.baud} baud: {models}",
        "; ".join(dict.fromkeys(cures))
        or "connect the arm and switch on its power; `dreamvla arm scan` shows who answers;"
        " or make a robot without an arm: dreamvla robot init --virtual",
    )


def _simulated_cameras() -> dict[str, CameraSource]:
    from dreamvla_edge.runtime.cameras.source import CameraSource

    return {role: CameraSource(kind="simulated") for role in ROLES}


def _cameras() -> tuple[dict[str, CameraSource], list[str]]:
    """The first two cameras that Linux knows, and what a person should know about the choice."""
    from dreamvla_edge.runtime.cameras.source import CameraSource
    from dreamvla_edge.runtime.cameras.v4l2_devices import devices

    found = [device.path for device in devices()]
    notes: list[str] = []
    if len(found) < len(ROLES):
        notes.append(
            f"{len(found)} of 2 cameras found: set the `device` that says not-connected, or run"
            " `dreamvla camera scan` when both are connected"
        )
    elif len(found) > len(ROLES):
        notes.append(f"{len(found)} cameras found, the first two are used: {', '.join(found)}")
    else:
        notes.append("which camera is which is a guess: look with `dreamvla camera show`")
    paths = [*found, ABSENT, ABSENT][: len(ROLES)]
    cameras = {
        role: CameraSource(kind="v4l2", device=path, width=640, height=480)
        for role, path in zip(ROLES, paths, strict=True)
    }
    return cameras, notes


def _write_rule(file: Path, name: str, port: str | None, report: Report) -> None:
    """Writes the udev rule for one adapter. Raises RobotError if it is not clear for which."""
    from dreamvla_edge.runtime.arms.adapters import adapters, udev_rule

    from .written import write_file

    adapter = _chosen(adapters(), port)
    write_file(file, udev_rule(adapter, name).encode())
    commands = (
        f"sudo install -m 644 {file} {RULES}",
        "sudo udevadm control --reload-rules && sudo udevadm trigger",
    )
    report.text(f"{file}: rule for {adapter.port}; install it with")
    for line in commands:
        report.text(f"  {line}")
    report.text("and plug the arm in again; your user must be in the group dialout")
    report.document({"udev_rule": file, "port": adapter.port, "commands": commands})


def _chosen(found: tuple[Adapter, ...], port: str | None) -> Adapter:
    from dreamvla_edge.runtime.errors import RobotError

    if port is not None:
        device = str(Path(port).resolve())
        found = tuple(adapter for adapter in found if device == adapter.device)
    if len(found) == 1:
        return found[0]
    names = ", ".join(adapter.port for adapter in found)
    raise RobotError(
        f"the USB serial adapters {names}" if found else "no such USB serial adapter",
        "one adapter that the rule is for",
        "name it with --port" if found else "plug the arm in, or correct --port",
    )
