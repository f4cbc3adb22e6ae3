"""How late the guardian is while a full-size policy runs beside it on the same machine.

    python benchmarks/guardian_jitter.py [--json] [--seconds N]

A CALVIN-size policy looks at simulated cameras and drives the virtual arm through the guardian, at
first with SCHED_FIFO, then without. Lateness is the start of a cycle after its deadline; the bus
is a process that paces every byte, so a cycle's time on it is compared with the byte count. Exits
with 1 when the guardian with SCHED_FIFO misses its goals: 99.9 % of the cycles within 1 ms, 10 %
of a core.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from dreamvla_edge.cli.robot_text import new_text
from dreamvla_edge.cli.session import Session, Wishes, session
from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.bundle import open_bundle
from dreamvla_edge.runtime.cameras.source import CameraSource
from dreamvla_edge.runtime.robot import VIRTUAL
from material import ROOT, prepared

GOAL_MS, GOAL_PERCENT = 1.0, 10.0
_RETURN_DELAY_S = 500e-6
"""Of a Feetech servo as it leaves the factory."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, judge."""
    options = _parser().parse_args(arguments)

    def progress(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    place = prepared(options.cache, options.size, progress).bundle
    robot = options.cache / "robot.toml"
    camera = CameraSource("simulated")
    robot.write_text(new_text("demo", "so101", VIRTUAL, {"primary": camera, "wrist": camera}))
    fifo = measure(place, robot, options.seconds, False, progress)
    ordinary = measure(place, robot, options.seconds, True, progress)
    result: dict[str, Any] = {**fifo, "without_fifo": ordinary, "size": options.size}
    result["machine"] = {"cores": os.cpu_count(), "system": platform.platform()}
    result["faults"] = faults = _faults(fifo)
    print(json.dumps(result, indent=1) if options.json else _table(fifo, ordinary), flush=True)
    for fault in faults:
        progress(f"guardian_jitter: {fault}")
    return 1 if faults else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--seconds", type=float, default=65.0, help="of each of both runs")
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "benchmarks")
    parser.add_argument("--size", choices=("calvin", "small"), default="calvin")
    return parser


def measure(
    place: Path, robot: Path, seconds: float, ordinary: bool, progress: Callable[[str], None]
) -> dict[str, Any]:
    """One run; lateness of every cycle that began while the policy drove."""
    wishes = Wishes("push the red block to the left", ordinary=ordinary, time_base="stretched")
    with session(open_bundle(place), robot, wishes, progress) as parts:
        progress(f"driving for {seconds:g} s {'without' if ordinary else 'with'} SCHED_FIFO")
        return _drive(parts, seconds)


def _drive(parts: Session, seconds: float) -> dict[str, Any]:
    steps = 0
    first = newest = parts.watch.report
    reports: dict[int, Any] = {}
    cpu_s, start_s = _cpu_s(parts.guardian.pid), time.monotonic()
    while time.monotonic() - start_s < seconds:
        steps += parts.pilot.step() is not None
        reports |= {int(report["cycle"]): report for report in parts.watch.reports()}
    newest = parts.watch.report
    cpu_s, duration_s = _cpu_s(parts.guardian.pid) - cpu_s, time.monotonic() - start_s
    late_ms = [int(report["lateness_ns"]) / 1e6 for report in reports.values()]
    bus_s = median(int(report["bus_ns"]) for report in reports.values()) / 1e9
    wire_s = cycle_s(parts.description)
    return {
        "cycles": len(reports),
        "missed_cycles": int(newest["missed"]) - int(first["missed"]),
        "bus_transactions": int(newest["transactions"]) - int(first["transactions"]),
        "rejected_readings": int(newest["rejected"]) - int(first["rejected"]),
        "policy_steps": steps,
        "policy_hz": steps / duration_s,
        "fifo": bool(int(newest["realtime"]) & 1),
        "lateness_ms": {
            name: float(np.percentile(late_ms, share))
            for name, share in (("p50", 50), ("p99", 99), ("p999", 99.9), ("max", 100))
        },
        "guardian_cpu_percent": 100 * cpu_s / duration_s,
        "bus_s": bus_s,
        "bus_s_by_byte_count": wire_s,
        "bus_ratio": bus_s / wire_s,
    }


def cycle_s(description: ArmDescription) -> float:
    """Time [s] that one question about registers 56 to 70 and its answers take on the wire.

    The goals that follow are not waited for: they leave while the guardian sleeps.
    """
    count, data = len(description.servos), 15
    question, answers = 8 + count, count * (6 + data)
    return (question + answers) * 10 / description.baud + count * _RETURN_DELAY_S


def _cpu_s(process: int) -> float:
    """CPU time that a process has used [s]."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _faults(fifo: dict[str, Any]) -> list[str]:
    late, cpu = fifo["lateness_ms"]["p999"], fifo["guardian_cpu_percent"]
    checks = (
        (fifo["fifo"], "SCHED_FIFO was refused: run as root or allow LimitRTPRIO"),
        (fifo["policy_steps"] > 0, "the policy made no step"),
        (late <= GOAL_MS, f"99.9 % of the cycles within {late:.2f} ms, goal {GOAL_MS:g}"),
        (cpu <= GOAL_PERCENT, f"{cpu:.1f} % of a core, goal {GOAL_PERCENT:g}"),
    )
    return [text for good, text in checks if not good]


def _table(fifo: dict[str, Any], ordinary: dict[str, Any]) -> str:
    lines = [f"{'':24}{'SCHED_FIFO':>12}{'ordinary':>12}"]
    for name in ("p50", "p99", "p999", "max"):
        values = (run["lateness_ms"][name] for run in (fifo, ordinary))
        lines.append(f"{f'late {name} [ms]':24}" + "".join(f"{value:12.3f}" for value in values))
    for name in ("cycles", "policy_steps", "bus_transactions", "guardian_cpu_percent", "bus_ratio"):
        lines.append(f"{name:24}" + "".join(f"{run[name]:12.4g}" for run in (fifo, ordinary)))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
