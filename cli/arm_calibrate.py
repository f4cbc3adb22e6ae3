"""`dreamvla arm calibrate`: the only command that writes what servos store."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import dialogue
from .command import example, shared_options
from .report import Report

if TYPE_CHECKING:
    from dreamvla_edge.runtime.arms.arm import Arm
    from dreamvla_edge.runtime.arms.description import ArmDescription, Calibration

    Registers = Mapping[int, Mapping[str, int]]

SILENT_S = 1.0
"""A servo may miss an answer; one that is silent for this long [s] ends the command."""
SHOWN_S = 0.3
WRITTEN = ("homing_offset", "min_position", "max_position")


@click.command(
    "calibrate",
    epilog=example(
        "dreamvla arm calibrate robot.toml",
        "dreamvla arm calibrate robot.toml --lerobot-id my_arm",
    ),
)
@click.argument("robot", type=click.Path(path_type=Path))
@click.option(
    "--lerobot-id", help="Take LeRobot's calibration of this name; nothing is written to servos."
)
@click.option("--yes", is_flag=True, help="Write without asking.")
@shared_options
def calibrate(robot: Path, lerobot_id: str | None, yes: bool, report: Report) -> None:
    """Find the middle and the ends of every joint by moving the arm by hand.

    Torque goes off, you move every joint to both ends, and the old and new value of every register
    is shown before anything is written. Offsets and ends are stored in the servos, read back, and
    noted in the robot file, whose other lines stay as they are.
    """
    import msgspec

    from dreamvla_edge.runtime.robot import describe, load_robot

    from .live_arm import opened, serial_port

    loaded = load_robot(robot)
    bare = msgspec.structs.replace(loaded.arm, calibration={})
    description = describe(msgspec.structs.replace(loaded, arm=bare), robot.parent)
    with (
        serial_port(loaded, robot.parent) as port,
        opened(loaded, robot.parent, port) as arm,
    ):
        before = arm.registers()
        _require_models(description, before, port)
        if lerobot_id is None:
            found = _by_hand(arm, description, before, report)
        else:
            found = _of_lerobot(description, lerobot_id, before)
        text = _new_text(robot, description, found)
        new = {} if lerobot_id is not None else _settings(description, found)
        _show(description, found, before, new, report)
        if new and not yes and not dialogue.confirmed("Write the new values into the servos?"):
            raise click.Abort
        _write(arm, robot, text, before, new)
    report.text(f"calibration of {len(found)} servos noted in {robot}")
    report.document({"robot": robot, "calibration": msgspec.to_builtins(found)})
    report.next("arm", "limits", robot)


def _by_hand(
    arm: Arm, description: ArmDescription, before: Registers, report: Report
) -> dict[str, Calibration]:
    """What a person's hand finds; torque stays off afterwards."""
    import numpy as np

    from dreamvla_edge.runtime.arms.calibration import calibrations

    dialogue.say("Hold the arm: its torque goes off when you press Enter.")
    dialogue.line()
    arm.release()
    dialogue.say("Put every joint into the middle of its range, the gripper too, then press Enter.")
    dialogue.line()
    track = [_positions(arm)]
    dialogue.say(
        "Move every joint slowly to both of its ends, one after another; then press Enter."
    )
    shown_s = time.monotonic()
    while not dialogue.line_waits():
        track.append(_positions(arm))
        if time.monotonic() - shown_s > SHOWN_S:
            shown_s = time.monotonic()
            _show_moved(description, np.array(track))
    dialogue.line()
    track.append(_positions(arm))
    stored = {servo: values["homing_offset"] for servo, values in before.items()}
    report.progress(f"{len(track)} positions recorded")
    return calibrations(description, np.array(track), stored)


def _of_lerobot(
    description: ArmDescription, identifier: str, before: Registers
) -> dict[str, Calibration]:
    """LeRobot's calibration. Raises RobotError if its offsets are not those in the servos."""
    from dreamvla_edge.runtime.arms.calibration import parts
    from dreamvla_edge.runtime.arms.lerobot_calibration import (
        find_lerobot_calibration,
        read_lerobot_calibration,
    )
    from dreamvla_edge.runtime.errors import RobotError

    file = find_lerobot_calibration(description, identifier)
    found = read_lerobot_calibration(file, description)
    servos = parts(description)
    differing = [
        f"{name} {calibration.homing_offset} (servo {servos[name]} has"
        f" {before[servos[name]]['homing_offset']})"
        for name, calibration in found.items()
        if calibration.homing_offset != before[servos[name]]["homing_offset"]
    ]
    if differing:
        raise RobotError(
            f"{file} has the offsets {', '.join(differing)}",
            "the offsets that are stored in the servos of this arm",
            "name the calibration of this very arm, or calibrate it: dreamvla arm calibrate",
        )
    return found


def _positions(arm: Arm) -> list[int]:
    """Positions [step] in the order of the description; a missed answer is asked for again."""
    from dreamvla_edge.runtime.arms.arm import SilentServos

    deadline = time.monotonic() + SILENT_S
    while True:
        try:
            registers = arm.registers()
        except SilentServos:
            if time.monotonic() > deadline:
                raise
        else:
            return [registers[servo]["present_position"] for servo in arm.description.servos]


def _require_models(description: ArmDescription, before: Registers, port: str) -> None:
    """Raises RobotError if these are the servos of another kind of arm."""
    from dreamvla_edge.runtime.errors import RobotError

    found = {servo: values["model"] for servo, values in before.items()}
    if found != dict(description.models):
        raise RobotError(
            f"the servos on {port} are of the models (id: model) {found}",
            f"{dict(description.models)}, as in a {description.name}",
            "check that this is the right port and arm",
        )


def _new_text(robot: Path, description: ArmDescription, found: Mapping[str, Calibration]) -> str:
    """The robot file with this calibration. Raises ArmError or RobotError if it cannot be."""
    from dreamvla_edge.runtime.arms.description import calibrated
    from dreamvla_edge.runtime.errors import RobotError

    from .robot_text import with_calibration

    calibrated(description, found)
    try:
        return with_calibration(robot.read_text(), found)
    except ValueError as error:
        raise RobotError(
            f"the calibration of {robot} cannot be replaced ({error})",
            "tables such as [arm.calibration.gripper], or none",
            "remove the calibration from the file, then calibrate again",
        ) from error


def _settings(
    description: ArmDescription, found: Mapping[str, Calibration]
) -> dict[int, dict[str, int]]:
    """Servo → register → value to store."""
    from dreamvla_edge.runtime.arms.calibration import parts

    servos = parts(description)
    return {
        servos[name]: dict(
            zip(WRITTEN, (one.homing_offset or 0, one.lower_step, one.upper_step), strict=True)
        )
        for name, one in found.items()
    }


def _write(
    arm: Arm, robot: Path, text: str, before: Registers, new: Mapping[int, Mapping[str, int]]
) -> None:
    """Stores the settings, reads them back and writes the file; a Ctrl-C waits for the end.

    If anything fails the servos that were written to get their old values back: one half of a
    calibration would be a wrong angle that nobody notices.
    """
    from dreamvla_edge.runtime.errors import ArmError, DreamvlaError
    from dreamvla_edge.runtime.interrupts import held_back

    from .written import write_file

    begun: list[int] = []
    with held_back():
        try:
            for servo, values in new.items():
                begun.append(servo)
                arm.store(servo, values)
            _require_stored(arm, new)
            write_file(robot, text.encode())
        except DreamvlaError:
            for servo in begun:
                with contextlib.suppress(ArmError):
                    arm.store(servo, {name: before[servo][name] for name in new[servo]})
            raise


def _require_stored(arm: Arm, new: Mapping[int, Mapping[str, int]]) -> None:
    """Raises ArmError if the servos say otherwise than they were told."""
    from dreamvla_edge.runtime.errors import ArmError

    after = arm.registers() if new else {}
    wrong = [
        f"servo {servo}: {name} is {after[servo][name]}, not {value}"
        for servo, values in new.items()
        for name, value in values.items()
        if after[servo][name] != value
    ]
    if wrong:
        raise ArmError(
            "; ".join(wrong),
            "the values that were written",
            "switch servo power off and on, then calibrate again",
        )


def _show(
    description: ArmDescription,
    found: Mapping[str, Calibration],
    before: Registers,
    new: Mapping[int, Mapping[str, int]],
    report: Report,
) -> None:
    """Old and new value of every register; on stderr where stdout is not for people."""
    from dreamvla_edge.runtime.arms.calibration import parts

    names = {servo: name for name, servo in parts(description).items()}
    rows = [
        (names[servo], str(servo), register, str(before[servo][register]), str(value))
        for servo, values in new.items()
        for register, value in values.items()
    ]
    if rows and (report.as_json or report.verbosity < 0):
        for joint, servo, register, old, value in rows:
            dialogue.say(f"{joint} (servo {servo}) {register}: {old} -> {value}")
    if rows:
        report.table(("joint", "servo", "register", "old", "new"), rows)
    else:
        report.table(
            ("joint", "offset", "lower step", "upper step"),
            (
                (name, str(one.homing_offset), str(one.lower_step), str(one.upper_step))
                for name, one in found.items()
            ),
        )
    report.document(
        {
            "registers": [
                {"joint": joint, "servo": int(servo), "register": name, "old": old, "new": value}
                for joint, servo, name, old, value in rows
            ]
        }
    )


def _show_moved(description: ArmDescription, track: object) -> None:
    """One line that is written over again: how far each joint has been moved so far."""
    import numpy as np

    from dreamvla_edge.runtime.arms.calibration import parts
    from dreamvla_edge.runtime.arms.steps import STEPS_PER_TURN

    if sys.stderr.isatty():
        moved = np.ptp(np.unwrap(np.asarray(track), axis=0, period=STEPS_PER_TURN), axis=0)
        degrees = (
            f"{n} {m * 360 / STEPS_PER_TURN:.0f}°"
            for n, m in zip(parts(description), moved, strict=True)
        )
        click.echo("\r" + "  ".join(degrees), err=True, nl=False)
