"""`dreamvla arm limits`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .command import example, shared_options
from .report import Report

if TYPE_CHECKING:
    from dreamvla_edge.runtime.arms.description import ArmDescription
    from dreamvla_edge.runtime.robot import Robot

    Registers = Mapping[int, Mapping[str, int]]

STORED = (
    *("min_position", "max_position", "homing_offset", "max_temperature", "min_voltage"),
    *("max_voltage", "max_torque", "protection_current", "overload_torque"),  # Feetech
    *("current_limit", "pwm_limit", "velocity_limit"),  # Dynamixel
)
"""Registers of a servo that limit it, in its own units; no servo has all of them."""


@click.command("limits", epilog=example("dreamvla arm limits robot.toml"))
@click.argument("robot", type=click.Path(path_type=Path))
@shared_options
def limits(robot: Path, report: Report) -> None:
    """Show every limit that holds for this arm, and where it comes from.

    Also the limits that its servos have stored, if the arm's port is free. Nothing is changed.
    """
    from dreamvla_edge.runtime.arms.steps import radians_from_steps
    from dreamvla_edge.runtime.errors import ArmError
    from dreamvla_edge.runtime.robot import describe, load_robot

    loaded = load_robot(robot)
    description = describe(loaded, robot.parent)
    registers: Registers = {}
    try:
        registers = _registers(loaded, robot.parent)
    except ArmError as error:
        report.text(f"what the servos have stored is not shown: {error.found}\n")
        report.document({"stored_unknown": error.found})
    joints = _joints(loaded, robot.parent, description)
    report.table(
        ("joint", "lower rad", "upper rad", "from", "rad/s", "rad/s²", "wind-up rad", "from"),
        (
            (
                str(row["name"]),
                f"{row['lower_rad']:.3f}",
                f"{row['upper_rad']:.3f}",
                str(row["range_from"]),
                f"{row['velocity_rad_s']:g}",
                f"{row['acceleration_rad_s2']:g}",
                f"{row['windup_rad']:g}",
                str(row["limits_from"]),
            )
            for row in joints
        ),
    )
    _show_whole_arm(loaded, description, report)
    for joint, row in zip(description.joints, joints, strict=True):
        own = registers.get(joint.servo, {})
        ends = (own.get("min_position", 0), own.get("max_position", 0))
        if ends == (0, 0):  # unknown, or a servo that limits nothing
            continue
        low, high = sorted(radians_from_steps(e, joint.zero_step, joint.direction) for e in ends)
        if low > joint.lower_rad + 0.01 or high < joint.upper_rad - 0.01:
            report.text(
                f"note: the servo of {joint.name} itself goes from {low:.3f} to {high:.3f} rad only"
            )
        row["servo_lower_rad"], row["servo_upper_rad"] = low, high
    stored = {servo: _stored(values) for servo, values in registers.items()}
    _show_stored(stored, report)
    report.document({"joints": joints, "stored": stored})


def _registers(robot: Robot, folder: Path) -> Registers:
    from .live_arm import opened, serial_port

    with serial_port(robot, folder) as port, opened(robot, folder, port) as arm:
        return arm.registers()


def _stored(registers: Mapping[str, int]) -> dict[str, int]:
    return {name: registers[name] for name in STORED if name in registers}


def _joints(robot: Robot, folder: Path, description: ArmDescription) -> list[dict[str, Any]]:
    """One row of effective limits per joint, with their sources."""
    import msgspec

    from dreamvla_edge.runtime.robot import describe

    kind = describe(
        msgspec.structs.replace(robot, arm=msgspec.structs.replace(robot.arm, calibration={})),
        folder,
    )
    names = [joint.name for joint in description.joints]
    per_joint = {
        quantity: description.limits.per_joint(quantity, names)
        for quantity in (
            "velocity_rad_s",
            "acceleration_rad_s2",
            "stop_acceleration_rad_s2",
            "windup_rad",
        )
    }
    rows = []
    for i, (joint, plain) in enumerate(zip(description.joints, kind.joints, strict=True)):
        narrowed = (joint.lower_rad, joint.upper_rad) != (plain.lower_rad, plain.upper_rad)
        rows.append(
            {
                "name": joint.name,
                "servo": joint.servo,
                "lower_rad": joint.lower_rad,
                "upper_rad": joint.upper_rad,
                "range_from": "calibration" if narrowed else robot.arm.type,
                **{quantity: float(values[i]) for quantity, values in per_joint.items()},
                "limits_from": _source(robot),
            }
        )
    return rows


def _source(robot: Robot) -> str:
    return robot.arm.type if robot.arm.limits is None else "arm.limits"


def _show_whole_arm(robot: Robot, description: ArmDescription, report: Report) -> None:
    """Limits that no single joint has."""
    import msgspec

    common = description.limits
    box, stall = common.workspace_m, common.stall
    where = "everywhere" if box is None else f"{list(box.min)} to {list(box.max)} m"
    report.text(f"\nfrom {_source(robot)}:")
    report.text(f"  tool point: {where}")
    report.text(
        f"  a joint stalls above {stall.current_a:g} A and {stall.error_rad:g} rad of error for"
        f" {stall.persistence_s:g} s"
    )
    report.text(
        f"  temperature: warns at {common.temperature_c.warn:g} °C, ends at"
        f" {common.temperature_c.stop:g} °C; supply {common.voltage_v.min:g} to"
        f" {common.voltage_v.max:g} V"
    )
    whole = {name: getattr(common, name) for name in ("stall", "workspace_m")}
    whole |= {"temperature_c": common.temperature_c, "voltage_v": common.voltage_v}
    report.document({"arm": {**msgspec.to_builtins(whole), "from": _source(robot)}})


def _show_stored(stored: Mapping[int, Mapping[str, int]], report: Report) -> None:
    if not stored:
        return
    names = [name for name in STORED if any(name in values for values in stored.values())]
    report.text("\nstored in the servos, in their own units:")
    report.table(
        ("servo", *names),
        (
            (str(servo), *(str(values.get(name, "")) for name in names))
            for servo, values in stored.items()
        ),
    )
