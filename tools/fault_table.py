"""Measures the fault table on virtual arms and writes docs/fault-table.md.

    python tools/fault_table.py [--repetitions 20] [--rows servo bus] [--faults off stuck]
        [--results FILE]

Every outcome is added to the results, a line of JSON each; the page is written from all of them.
Exits with 1 if one was not as it has to be.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from guardian.cell import Cell  # noqa: E402
from guardian.measure import Rigs, measure  # noqa: E402
from guardian.table import CELLS, TABLE  # noqa: E402

PAGE = ROOT / "docs" / "fault-table.md"
HEAD = """\
# Fault table

What may fail around a moving arm, and where the arm then ends. Written by `tools/fault_table.py`
from measurements; the same cells are tests (`tests/guardian/test_fault_table.py`).

**What was run.** A virtual SO-101 (six Feetech STS servos behind a pseudo-terminal, at 1 Mbaud, in
a process of its own), the guardian as a user starts it, and a policy process without a network that
sends waypoints of a dance in which some joint always moves; one joint carries a weight, so that it
sinks without torque. For the cameras the policy process is the product's pilot with two simulated
cameras of 30 frames a second. No real arm: how long a real one takes to come to rest after its last
goal is a question of its gears and loads.

**When.** {when}.

**How it was judged.** *stands*: from the fault until every joint's true speed, as the virtual bus
logs it, is below 0.02 rad/s and stays so. *decided*: from the fault until the guardian left the
motion, or latched, by the stamp of its report. Both are the worst of all repetitions, on the wall
clock, by stamps of CLOCK_MONOTONIC. The fault's time is taken before it is injected, so the way
through a pipe or a signal counts as well. For a policy that hangs or sends nothing useful the
clock starts at the time of the last good waypoint, which may lie up to 0.1 s after the fault. The
virtual servos' process runs with SCHED_FIFO, as real servos do not share the host's processor; the
guardian has the SCHED_FIFO that it asks for. Several arms were measured at once on two cores that
had other work, too. After every latched end the fault was taken away, and every joint had to stay
where it was, within 0.01 rad; a gripper goes on to the goal that it could not reach. An independent
checker (`tests/guardian/checker.py`) read every byte of the logs: {checked}.

**Ends.** *held*: with torque, goes on by itself when it is sent good waypoints again. *held,
latched*: with torque; goes on only after `dreamvla arm clear`. *held by the servos*: nobody
commands any more, the servos keep torque and their last goal. *lowered*: moved to its rest pose,
then without torque, latched. *limp*: without torque where it was. *goes on*: within all limits, if
need be slower or with pauses.

"""
TAIL = """\
## What remains

- **The guardian dies or hangs.** STS servos have no watchdog on their host: they go to the last
  goal that they got, at most `windup_rad` away, and hold it with torque for ever. Nobody looks at
  heat or load any more but the servos themselves. Dynamixel X servos stop by their bus watchdog
  after {watchdog}.
- **Servo power.** Without it an arm falls, whatever the software does. With it, a servo may turn by
  its own defect. Put an emergency stop with a relay into the servos' supply, within reach, and
  prefer a pose in which the arm may fall.
- **Lowering in straight lines.** An arm is lowered on a straight line in its joints, within all
  limits. Where that leaves the workspace it slides along the wall; if it has not come to rest after
  10 s it goes limp where it is.
- **Wrong values that could be true.** Readings are compared with physics, not with the truth: a
  servo whose answers are wrong by little, or late by a whole number of cycles, is believed. Goals
  stay within all limits nevertheless.
- No part of this is a safety function in the sense of a norm.
"""


def main() -> int:
    """Measures, then writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--rows", nargs="*", choices=TABLE, default=[*TABLE])
    parser.add_argument("--faults", nargs="*", help="all of the rows if none is named")
    parser.add_argument("--results", type=Path, default=ROOT / "build" / "fault-table.jsonl")
    options = parser.parse_args()
    words = options.faults or {word for _, word in CELLS}
    keys = [(row, word) for row, word in CELLS if row in options.rows and word in words]
    bad = _measure(keys, options.repetitions, options.results)
    results = [json.loads(line) for line in options.results.read_text().splitlines()]
    PAGE.write_text(page(results))
    return int(bad)


def _measure(keys: list[tuple[str, str]], repetitions: int, results: Path) -> bool:
    bad = False
    results.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, Rigs(Path(folder)) as rigs:
        with results.open("a") as file:
            for done in measure(rigs, (key for key in keys for _ in range(repetitions))):
                bad |= bool(done.refused)
                print(*done.key, done.outcome, done.refused, flush=True)
                file.write(json.dumps({"key": done.key, **asdict(done.outcome)}) + "\n")
                file.flush()
        found = rigs.violations()
        goals = {
            "violations": found,
            "bytes": sum(r.log.stat().st_size for r in rigs.rigs.values()),
            "when": f"{date.today()}, {os.cpu_count()} cores of {platform.machine()}",
        }
        with results.open("a") as file:
            file.write(json.dumps(goals) + "\n")
    print(*found, sep="\n")
    return bad or bool(found)


def page(results: list[dict[str, Any]]) -> str:
    """The page in Markdown."""
    logs = [r for r in results if "violations" in r]
    wrong = sum(len(log["violations"]) for log in logs)
    size = sum(log["bytes"] for log in logs) / 1e6
    checked = f"{wrong} writes outside the limits in {size:.0f} MB"
    parts = [
        HEAD.format(checked=checked, when="; ".join(dict.fromkeys(log["when"] for log in logs)))
    ]
    for part, row in TABLE.items():
        parts.append(f"## {part.capitalize()}\n\n")
        parts.append(
            "| fault | what is done | end | stands [s] | decided [s] | allowed [s] | n |\n"
        )
        parts.append("|---|---|---|---|---|---|---|\n")
        for word, cell in row.items():
            own = [r for r in results if r.get("key") == [part, word]]
            parts.append(_line(word, cell, own))
        parts.append("\n")
    return "".join([*parts, TAIL.format(watchdog="100 ms")])


def _line(word: str, cell: Cell | str, own: list[dict[str, Any]]) -> str:
    if isinstance(cell, str):
        return f"| {word} | {cell} | | | | | |\n"
    ends = Counter(result["end"] for result in own).most_common()
    end = ends[0][0] if len(ends) == 1 else "; ".join(f"{name} ({n})" for name, n in ends)
    stopped = [result for result in own if result["end"] != "goes on"]
    worst = [_worst(stopped, name) for name in ("stands_s", "decided_s")]
    allowed = "" if cell.ends == ("goes on",) else _allowed(cell)
    done = cell.done + (", after the last waypoint" if cell.from_waypoints else "")
    return f"| {word} | {done} | {end} | {worst[0]} | {worst[1]} | {allowed} | {len(own)} |\n"


def _worst(results: list[Mapping[str, Any]], name: str) -> str:
    values = [result[name] for result in results if result[name] is not None]
    return f"{max(values):.3f}" if values else ""


def _allowed(cell: Cell) -> str:
    limits = ((cell.stands_s, "stands"), (cell.decided_s, "decided"))
    return ", ".join(f"{name} {limit:.2f}" for limit, name in limits if limit is not None)


if __name__ == "__main__":
    sys.exit(main())
