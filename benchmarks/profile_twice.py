"""Whether a profile on this machine can be relied on: two in a row, judged.

    python benchmarks/profile_twice.py [BUNDLE] [--runs N] [--json]

Profiles the shipped bundle, or another, twice, the second time against the first, and exits with 1
unless: what lies between the stages is at most 3 % of the whole; the interval of every stage above
1 ms and of the whole is within 10 % of its median; no difference is found between both; no stage is
faster than its floor. Meant for a quiet machine: the share that others took is printed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PROGRAM = Path(sys.executable).with_name("dreamvla")
OTHER, WIDE = 0.03, 0.10
_LONG_S = 1e-3


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("bundle", nargs="?", default="demo")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        first = _profiled(options.bundle, options.runs, Path(folder) / "first.json")
        second = _profiled(
            *(options.bundle, options.runs, Path(folder) / "second.json"),
            *("--against", str(Path(folder) / "first.json")),
        )
    faults = [
        f"{name}: {fault}"
        for name, one in (("first", first), ("second", second))
        for fault in judged(one["profile"])
    ]
    faults += [
        f"{stage}: {found['verdict']}, {found['ratio']:.3f} ({found['low']:.3f} to"
        f" {found['high']:.3f})"
        for stage, found in second["against"]["ratios"].items()
        if found["verdict"] != "no difference"
    ]
    if options.json:
        print(json.dumps({"first": first, "second": second, "faults": faults}))
    else:
        for one in (first, second):
            profile = one["profile"]
            whole = profile["end_to_end"]["summary"]
            print(
                f"end to end {whole['p50'] * 1e3:.2f} ms ({whole['low'] * 1e3:.2f} to"
                f" {whole['high'] * 1e3:.2f}), p99 {whole['p99'] * 1e3:.2f}; other"
                f" {100 * profile['other_share']:.2f} %; others had"
                f" {100 * (profile['environment']['elsewhere'] or 0):.0f} % of the machine"
            )
            print("  " + ", ".join(f"{name} ± {_half(s):.0%}" for name, s in _stages(profile)))
        print("\n".join(faults) or "both can be relied on")
    return 1 if faults else 0


def judged(profile: dict[str, Any]) -> list[str]:
    """What is wrong with one profile."""
    found = []
    if profile["other_share"] > OTHER:
        found.append(f"{100 * profile['other_share']:.1f} % between the stages")
    for name, stage in [*_stages(profile), ("end to end", profile["end_to_end"])]:
        summary, floor = stage["summary"], stage["floor"]
        if summary["p50"] > _LONG_S and _half(stage) > WIDE:
            found.append(f"{name}: ± {_half(stage):.0%} of the median")
        if floor is not None and summary["p50"] < floor["seconds"]:
            found.append(f"{name}: {summary['p50']:.6f} s, below its floor {floor['seconds']:.6f}")
    return found


def _stages(profile: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(name, s) for name, s in profile["stages"].items() if s["summary"]["p50"] > 0]


def _half(stage: dict[str, Any]) -> float:
    """The larger half of the interval of a median, as a share of it."""
    summary = stage["summary"]
    half = max(summary["high"] - summary["p50"], summary["p50"] - summary["low"])
    return float(half / summary["p50"])


def _profiled(bundle: str, runs: int, place: Path, *more: str) -> dict[str, Any]:
    command = [str(PROGRAM), "profile", bundle, "-n", str(runs), "--json", *more]
    print(" ".join(command), file=sys.stderr, flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    place.write_text(done.stdout)
    document: dict[str, Any] = json.loads(done.stdout)
    return document


if __name__ == "__main__":
    sys.exit(main())
