"""`dreamvla arm scan`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from .command import example, shared_options
from .report import Report

if TYPE_CHECKING:
    from dreamvla_edge.runtime.arms.scan import FoundServo


@click.command("scan", epilog=example("dreamvla arm scan", "dreamvla arm scan /dev/ttyACM0"))
@click.argument("port", required=False)
@click.option(
    "--baud", "bauds", type=click.IntRange(1), multiple=True, help="Try this one only [bit/s]."
)
@shared_options
def scan(port: str | None, bauds: tuple[int, ...], report: Report) -> None:
    """Ask which servos are on which ports.

    Without PORT every USB serial adapter is tried. Servos are only asked who they are.
    """
    import dataclasses

    from dreamvla_edge.runtime.arms.adapters import adapters
    from dreamvla_edge.runtime.arms.scan import KINDS
    from dreamvla_edge.runtime.errors import ArmError

    ports = [port] if port else [adapter.port for adapter in adapters()]
    rows, entries, notes = [], [], []
    for candidate in ports:
        found: tuple[FoundServo, ...] = ()
        problem = ""
        try:
            found = _servos(candidate, bauds, report)
        except ArmError as error:
            if port:
                raise
            problem = error.found
            notes.append(error.cure)
        rows += [_row(candidate, servo) for servo in found]
        if not found:
            rows.append((candidate, problem or "no servo answers", *[""] * 6))
        servos = [dataclasses.asdict(servo) for servo in found]
        entries.append({"port": candidate, "problem": problem, "servos": servos})
    if ports:
        report.table(("port", "protocol", "baud", "id", "model", "name", "firmware", "volts"), rows)
    else:
        report.text("no USB serial adapter is connected; name another port: dreamvla arm scan PORT")
    tried = {name: list(bauds or kind.bauds) for name, kind in KINDS.items()}
    if any(not entry["servos"] for entry in entries):
        for name, speeds in tried.items():
            report.text(f"tried {name} at {', '.join(map(str, speeds))} baud")
    for note in dict.fromkeys(notes):
        report.text(f"what to do: {note}")
    report.document({"ports": entries, "bauds_tried": tried})


def _servos(port: str, bauds: tuple[int, ...], report: Report) -> tuple[FoundServo, ...]:
    from dreamvla_edge.runtime.arms.scan import KINDS
    from dreamvla_edge.runtime.arms.scan import scan as scan_port

    for protocol in KINDS:
        report.progress(f"asking {protocol} servos on {port}")
        if found := scan_port(port, protocol, bauds):
            return found  # nobody puts both kinds on one wire
    return ()


def _row(port: str, servo: FoundServo) -> tuple[str, ...]:
    return (
        port,
        servo.protocol,
        str(servo.baud),
        str(servo.servo),
        "?" if servo.model is None else str(servo.model),
        servo.name or "?",
        servo.firmware or "?",
        "?" if servo.voltage_v is None else f"{servo.voltage_v:.1f}",
    )
