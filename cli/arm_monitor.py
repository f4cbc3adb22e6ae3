"""`dreamvla arm monitor`."""

from __future__ import annotations

import dataclasses
import math
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .command import example, shared_options
from .number import Number
from .report import Report

if TYPE_CHECKING:
    import numpy as np

    from dreamvla_edge.runtime.arms.arm import ArmReading
    from dreamvla_edge.runtime.robot import Robot

PERIOD_S = 0.2
"""Of the table: faster than that nobody reads."""
SHORT_S = 1.0
"""How long it watches where there is no terminal and no --seconds [s]."""
SILENT_S = 1.0
"""A servo may miss an answer; one that is silent for this long [s] ends the command."""


@dataclasses.dataclass(frozen=True)
class Servo:
    """One row: NaN where nothing is known. A gripper's position is its opening, 0 to 1."""

    name: str
    position: float
    velocity: float
    goal: float
    load: float
    current_a: float
    voltage_v: float
    temperature_c: float
    faults: str


@dataclasses.dataclass(frozen=True)
class Sample:
    """What the arm does now. state, reason: of the guardian, empty without one."""

    servos: tuple[Servo, ...]
    state: str
    reason: str
    details: str


@click.command(
    "monitor",
    epilog=example(
        "dreamvla arm monitor robot.toml", "dreamvla arm monitor robot.toml --seconds 2 --json"
    ),
)
@click.argument("robot", type=click.Path(path_type=Path))
@click.option(
    "--seconds",
    type=Number(min=0, min_open=True),
    help="How long (default: until Ctrl-C; 1 s where there is no terminal).",
)
@shared_options
def monitor(robot: Path, seconds: float | None, report: Report) -> None:
    """Show what every servo measures, from the running guardian or else from the arm itself.

    Nothing moves, and torque stays as it is.
    """
    from dreamvla_edge.runtime.errors import GuardianError
    from dreamvla_edge.runtime.robot import load_robot

    from .live_arm import guardian

    loaded = load_robot(robot)
    live = sys.stdout.isatty() and not report.as_json and report.verbosity >= 0
    end_s = math.inf if seconds is None and live else time.monotonic() + (seconds or SHORT_S)
    try:
        guardian(robot).close()
        source, samples = "guardian", _from_guardian(loaded, robot)
    except GuardianError:
        source, samples = "arm", _from_arm(loaded, robot.parent)
    count, sample = 0, None
    try:
        for sample in samples:
            count += 1
            if live:
                click.clear()
                _show(sample, report)
            if time.monotonic() >= end_s:
                break
    except KeyboardInterrupt:  # how people end it
        pass
    finally:
        samples.close()
    if sample is None:
        return
    if not live:
        _show(sample, report)
    report.document(
        {
            "from": source,
            "samples": count,
            "state": sample.state,
            "reason": sample.reason,
            "details": sample.details,
            "servos": [dataclasses.asdict(servo) for servo in sample.servos],
        }
    )


def _from_guardian(robot: Robot, file: Path) -> Generator[Sample, None, None]:
    """The newest report of the running guardian, every PERIOD_S."""
    from dreamvla_edge.runtime.guardian.message import Limit, State, readable
    from dreamvla_edge.runtime.robot import describe

    from .live_arm import guardian

    names = [*(joint.name for joint in describe(robot, file.parent).joints), "gripper"]
    with guardian(file) as client:
        while True:
            record = client.report()
            limit = Limit(int(record["limit"]))
            details = (
                f"cycle {record['cycle']}, lateness {record['lateness_ns'] / 1e6:.2f} ms,"
                f" {record['missed']} missed, speed {record['speed']:g}, last limit {limit.name}"
            )
            yield Sample(
                _servos_of_report(names, record),
                State(int(record["state"])).name,
                readable(record["reason"]),
                details,
            )
            time.sleep(PERIOD_S)


def _servos_of_report(names: list[str], record: np.void) -> tuple[Servo, ...]:
    grip = len(names) - 1
    nan = float("nan")
    return tuple(
        Servo(
            name,
            float(record["gripper"][0] if i == grip else record["measured"][i]),
            nan if i == grip else float(record["velocity"][i]),
            float(record["gripper"][2] if i == grip else record["sent"][i]),
            load=float(record["load"][i]),
            current_a=float(record["current_a"][i]),
            voltage_v=float(record["voltage_v"][i]),
            temperature_c=float(record["temperature_c"][i]),
            faults="",
        )
        for i, name in enumerate(names)
    )


def _from_arm(robot: Robot, folder: Path) -> Generator[Sample, None, None]:
    """A reading every PERIOD_S; the port is ours meanwhile."""
    from dreamvla_edge.runtime.arms.arm import SilentServos

    from .live_arm import opened, serial_port

    with serial_port(robot, folder) as port, opened(robot, folder, port) as arm:
        names = [*(joint.name for joint in arm.description.joints), "gripper"]
        read_s, missed = time.monotonic(), 0
        while True:
            try:
                reading = arm.read()
            except SilentServos:
                missed += 1
                if time.monotonic() - read_s > SILENT_S:
                    raise
            else:
                read_s = time.monotonic()
                yield Sample(_servos_of(names, reading), "", "", f"{missed} readings missed")
            time.sleep(PERIOD_S)


def _servos_of(names: list[str], reading: ArmReading) -> tuple[Servo, ...]:
    nan = float("nan")
    positions = [*map(float, reading.joints), reading.gripper]
    velocities = [*map(float, reading.velocity), nan]
    return tuple(
        Servo(
            name,
            position,
            velocity,
            nan,
            servo.load,
            servo.current_a,
            servo.voltage_v,
            servo.temperature_c,
            ", ".join(servo.faults),
        )
        for name, position, velocity, servo in zip(
            names, positions, velocities, reading.servos, strict=True
        )
    )


def _show(sample: Sample, report: Report) -> None:
    head = f"{sample.state}  {sample.reason}".rstrip() or "no guardian runs: read from the arm"
    report.text(f"{head}\n{sample.details}\n")
    report.table(
        ("servo", "position", "rad/s", "goal", "load %", "A", "V", "°C", "faults"),
        (
            (
                servo.name,
                _number(servo.position, 3),
                _number(servo.velocity, 2),
                _number(servo.goal, 3),
                _number(servo.load * 100, 0),
                _number(servo.current_a, 2),
                _number(servo.voltage_v, 1),
                _number(servo.temperature_c, 0),
                servo.faults,
            )
            for servo in sample.servos
        ),
    )


def _number(value: float, digits: int) -> str:
    return "" if math.isnan(value) else f"{value:.{digits}f}"
