"""Half an hour of faults: 500 and more, from every cell of the table at random.

    python tests/guardian/soak.py [--minutes 30] [--hours 24] [--seed 0]

Beside it, on another core, the guardian's own loop runs hours in lock step (`lock_step.py`). The
last thing on stdout is a summary in JSON; it exits with 1 if anything is not as it has to be.

Memory is that of the guardian and of the bus: after the first fifth of the time, and at the end,
each as the least of some samples. A guardian that a fault has killed begins anew; growth is
counted between its own first and last sample, and given for the one that lived longest.

With every refusal stands how long the bus or the guardian had to wait for its turn meanwhile.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np  # noqa: E402

from dreamvla_edge.runtime.recording.header import Header  # noqa: E402
from dreamvla_edge.runtime.recording.recorder import Recorder  # noqa: E402
from dreamvla_edge.runtime.recording.recording import open_recording  # noqa: E402
from guardian.lock_step import CYCLES_PER_HOUR, LockStep  # noqa: E402
from guardian.measure import Key, Measured, Rigs, measure  # noqa: E402
from guardian.rig import Rig  # noqa: E402
from guardian.seeing_policy import RATE_HZ, specification  # noqa: E402
from guardian.table import CELLS  # noqa: E402

FLAT_KB, FLAT_FILES = 4096, 6
"""More growth of memory or open files than this is a leak; port and clients come and go."""
_LOCK_STEP_CYCLES = 10_000


class Use:
    """Memory [kB] and open files of processes over time."""

    def __init__(self) -> None:
        self.samples: dict[tuple[str, int], list[tuple[int, int]]] = {}

    def sample(self, name: str, pid: int) -> None:
        """Looks at one process, if it lives."""
        try:
            status = Path(f"/proc/{pid}/status").read_text()
            files = len(os.listdir(f"/proc/{pid}/fd"))
            memory_kb = int(status.partition("VmRSS:")[2].split()[0])
        except (OSError, IndexError):
            return
        self.samples.setdefault((name, pid), []).append((memory_kb, files))

    def growth(self, name: str) -> dict[str, int]:
        """Of the process of this name that was seen most often."""
        seen = max((own for (n, _), own in self.samples.items() if n == name), key=len)
        fifth = max(1, len(seen) // 5)
        first, last = (np.min(part, axis=0) for part in (seen[fifth : 2 * fifth], seen[-fifth:]))
        return {
            "samples": len(seen),
            "memory_kb": int(last[0]),
            "grown_kb": int(last[0] - first[0]),
            "files": int(last[1]),
            "grown_files": int(last[1] - first[1]),
        }


def keys(seed: int) -> Iterator[Key]:
    """Every cell once, in random order, then again."""
    chance = random.Random(seed)
    while True:
        yield from chance.sample([*CELLS], len(CELLS))


def main() -> int:
    """Runs all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--minutes", type=float, default=30.0, help="on the wall clock")
    parser.add_argument("--hours", type=float, default=24.0, help="in lock step")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    answers: Any = multiprocessing.get_context("spawn").Queue()
    beside = multiprocessing.get_context("spawn").Process(
        target=_lock_step, args=(options.hours, options.seed, answers), daemon=True
    )
    beside.start()
    summary = _soak(60 * options.minutes, options.seed)
    summary["lock_step"] = answers.get()
    beside.join()
    summary["passed"] = _passed(summary)
    print(json.dumps(summary, indent=2))
    return int(not summary["passed"])


def _soak(duration_s: float, seed: int) -> dict[str, Any]:
    done: list[Measured] = []
    use, begin_s = Use(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder, Rigs(Path(folder)) as rigs:
        rig = rigs.rig(("policy", "off"))
        recorder = _recorder(Path(folder, "recording"), rig)
        rig.keep = recorder.report
        for one in measure(rigs, keys(seed)):
            done.append(one)
            for eyes, own in rigs.rigs.items():
                kind = "of a policy that sees" if eyes else "of a blind policy"
                use.sample(f"bus {kind}", own.bus.process.pid)
                if own.guardian is not None:
                    use.sample(f"guardian {kind}", own.guardian.pid)
            if one.refused:
                print(one, file=sys.stderr, flush=True)
            if time.monotonic() - begin_s > duration_s:
                break
        wall_s = time.monotonic() - begin_s
        rig.end_policy()
        written = recorder.close()
        recording = open_recording(Path(folder, "recording"))
        found = rigs.violations()
        log_bytes = sum(own.log.stat().st_size for own in rigs.rigs.values())
    return {
        "wall_s": round(wall_s),
        "faults": len(done),
        "cells": len({one.key for one in done}),
        "least_per_cell": min(Counter(one.key for one in done).get(key, 0) for key in CELLS),
        "refused": [_said(one) for one in done if one.refused],
        "ends": dict(Counter(one.outcome.end for one in done)),
        "worst_stands_s": max(o.outcome.stands_s or 0.0 for o in done if CELLS[o.key].stands_s),
        "violations": found,
        "log_mb": round(log_bytes / 1e6, 1),
        "use": {name: use.growth(name) for name in sorted({n for n, _ in use.samples})},
        "recording": {
            "reports": len(recording.reports),
            "dropped": sum(written.dropped.values()),
            "lost_bytes": sum(recording.lost_bytes.values()),
            "gaps": _gaps(recording.reports),
        },
    }


def _said(one: Measured) -> str:
    return f"{one.key}: {one.refused}, gap {one.outcome.gap_s:.3f} s"


def _gaps(reports: Any) -> int:
    """Cycles that began but are not in the recording; a new guardian counts from 0."""
    cycle, missed = (reports[name].astype(np.int64) for name in ("cycle", "missed"))
    began = np.diff(cycle - missed)
    return int((began[began > 0] - 1).sum())


def _recorder(folder: Path, rig: Rig) -> Recorder:
    joints = [joint.name for joint in rig.description.joints]
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return Recorder(
        folder,
        Header("soak", rig.description, specification(joints), RATE_HZ, started, "0"),
    )


def _lock_step(hours: float, seed: int, answers: Any) -> None:
    os.nice(10)
    cycles, error, begin_s = 0, "", time.monotonic()
    run = LockStep("so101", seed)
    try:
        while cycles < hours * CYCLES_PER_HOUR:
            run.run(_LOCK_STEP_CYCLES)
            cycles += _LOCK_STEP_CYCLES
    except AssertionError as wrong:
        error = str(wrong)
    answers.put(
        {
            "hours": round(cycles / CYCLES_PER_HOUR, 2),
            "wall_s": round(time.monotonic() - begin_s),
            "writes": run.joints.writes,
            "happened": dict(run.people.happened),
            "states": {state.name: n for state, n in run.people.states.items()},
            "error": error,
        }
    )


def _passed(summary: dict[str, Any]) -> bool:
    grown = summary["use"].values()
    recording = summary["recording"]
    return (
        not summary["refused"]
        and not summary["violations"]
        and not summary["lock_step"]["error"]
        and all(u["grown_kb"] <= FLAT_KB and u["grown_files"] <= FLAT_FILES for u in grown)
        and recording["dropped"] == recording["lost_bytes"] == recording["gaps"] == 0
    )


if __name__ == "__main__":
    sys.exit(main())
