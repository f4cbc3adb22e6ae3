"""What recording stages costs the demo at 30 decisions a second.

    python benchmarks/profiler_overhead.py [--json] [--pairs N]

Two policies of the shipped bundle act in turn on the same pictures, one with its stopwatch and a
ring, one with neither; which goes first changes every time. Telemetry, which samples beside them,
is read as often as it would be. Overhead is the time that the profiler takes in a second of 30
decisions. Exits with 1 when that is 1 % or more.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from dreamvla_edge.demo import BUNDLE
from dreamvla_edge.runtime.bundle import open_bundle
from dreamvla_edge.runtime.policy import Policy
from dreamvla_edge.runtime.profiler.intervals import median_interval
from dreamvla_edge.runtime.profiler.stage_ring import StageRing
from dreamvla_edge.runtime.profiler.telemetry import open_telemetry
from dreamvla_edge.runtime.stopwatch import Spans, Stopwatch
from observations import INSTRUCTION, observation

RATE_HZ = 30.0
GOAL = 0.01
_STAGES = ("preprocess", "vision", "embed", "step", "sampler")
_CALLS = 20_000


class Silent(Stopwatch):
    """A stopwatch that is off."""

    def __call__(self, stage: str) -> Any:
        return nullcontext()

    @property
    def spans(self) -> Spans:
        return {}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--pairs", type=int, default=600)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        ring = StageRing(Path(folder) / "x.stages")
        result = {
            "spans_s": spans_s(),
            "ring_s": ring_s(ring),
            "telemetry": telemetry(),
            **pairs(options.pairs, ring),
        }
    per_second = RATE_HZ * (result["spans_s"] + result["ring_s"])
    result["overhead"] = per_second + result["telemetry"]
    result["machine"] = platform.platform()
    print(json.dumps(result, indent=1) if options.json else _text(result))
    return 0 if result["overhead"] < GOAL else 1


def spans_s() -> float:
    """Time that the stopwatch takes per decision [s]: the difference of timed and bare bodies."""
    stopwatch = Stopwatch()

    def timed() -> None:
        stopwatch.restart()
        for stage in _STAGES:
            with stopwatch(stage):
                pass
        _ = stopwatch.spans

    return _shortest(timed)


def ring_s(ring: StageRing) -> float:
    """Time that one row takes [s]."""
    spans = {stage: (1.0, 2.0) for stage in (*_STAGES, "policy", "capture", "kinematics")}
    return _shortest(lambda: ring.note(1, spans))


def telemetry() -> float:
    """Share of a core that sampling takes."""
    begin_s, begin = time.process_time(), time.monotonic()
    with open_telemetry():
        time.sleep(5.0)
    return (time.process_time() - begin_s) / (time.monotonic() - begin)


def pairs(count: int, ring: StageRing) -> dict[str, Any]:
    """How much longer a decision with the recorder takes than one without, in pairs."""
    bundle = open_bundle(BUNDLE)
    with Policy(bundle, seed=0) as timed, Policy(bundle, seed=0) as bare:
        bare._stopwatch = bare.window._timed = Silent()
        for policy in (timed, bare):
            policy.reset(INSTRUCTION)

        def act(policy: Policy, step: int) -> float:
            seen = observation(bundle.manifest, step % 50)
            begin = time.perf_counter()
            chunk = policy.act(seen.primary, seen.wrist, seen.state)
            if policy is timed:
                ring.note(step, chunk.spans)
            taken = time.perf_counter() - begin
            policy.settle()
            return taken

        differences, lengths = [], []
        for step in range(count):
            order = (timed, bare) if step % 2 else (bare, timed)
            taken = {id(policy): act(policy, step) for policy in order}
            if step > 20:
                differences.append(taken[id(timed)] - taken[id(bare)])
                lengths.append(taken[id(bare)])
    # Who acts first is slower or faster for reasons of its own: two turns make one measurement.
    even = len(differences) // 2 * 2
    turns = np.array(differences[:even]).reshape(-1, 2).mean(1)
    low, high = median_interval(turns)
    return {
        "act_s": median(lengths),
        "difference_s": float(np.median(turns)),
        "difference_low_s": low,
        "difference_high_s": high,
        "difference_share_of_period": float(np.median(turns)) * RATE_HZ,
    }


def _shortest(run: Callable[[], object]) -> float:
    """Shortest of five means [s]: what the work itself takes."""
    found = []
    for _ in range(5):
        begin = time.perf_counter()
        for _ in range(_CALLS // 5):
            run()
        found.append((time.perf_counter() - begin) / (_CALLS // 5))
    return min(found)


def _text(result: dict[str, Any]) -> str:
    return "\n".join(
        [
            f"stopwatch {result['spans_s'] * 1e6:.1f} µs and ring {result['ring_s'] * 1e6:.1f} µs a"
            f" decision, telemetry {100 * result['telemetry']:.2f} % of a core",
            f"together {100 * result['overhead']:.2f} % of the time at {RATE_HZ:g} decisions a"
            " second",
            f"in pairs: {result['difference_s'] * 1e6:+.0f} µs of {result['act_s'] * 1e3:.1f} ms"
            f" ({result['difference_low_s'] * 1e6:+.0f} to"
            f" {result['difference_high_s'] * 1e6:+.0f}), which is"
            f" {100 * result['difference_share_of_period']:.2f} % of a period",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
