"""Whether counted work predicts time: costs fitted to the demo alone, full-size stages predicted.

    python benchmarks/prediction.py [--json] [--threads 2] [--seconds 1]
    python benchmarks/prediction.py --busy        # on a machine that others use

Every stage's use is run alone and its shortest time counts, of several rounds through all of them:
a machine that is slow for some seconds is slow for one use only. `host_model.py` says how a use is
predicted: the demo is measured on one thread, whatever --threads says; of the full-size bundle
nothing goes into a prediction but the shapes of its products, which are measured apart in the same
rounds. Ends with 1 if a prediction is further off than 15 %.

The full-size bundle is made once and kept (90 s, 8 GB of memory); --bundle takes another one.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from dreamvla_edge.calibrate.work import uses
from dreamvla_edge.demo import BUNDLE
from dreamvla_edge.runtime.backends import Session
from dreamvla_edge.runtime.backends.onnxruntime import OnnxRuntime
from dreamvla_edge.runtime.bundle import Bundle, open_bundle
from dreamvla_edge.runtime.manifest import SubgraphSpec
from dreamvla_edge.runtime.profiler.host import cpu_name
from host_model import Costs, Measured, Probes, fitted, predicted_s, shortest
from material import ROOT, prepared

SHARE = 0.15
ACTING = ("vision", "embed", "backbone", "denoise", "head")
"""Subgraphs that a step runs."""


def main() -> int:
    """Measures the demo, fits, predicts, measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=1.0, help="of repetitions for each figure")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument(
        "--busy", action="store_true", help="one thread, by the processor's clock, not the wall's"
    )
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "benchmarks")
    parser.add_argument("--size", choices=("calvin", "small"), default="calvin")
    parser.add_argument("--bundle", type=Path, help="instead of the one of that size")
    options = parser.parse_args()
    threads = 1 if options.busy else options.threads
    clock = time.process_time if options.busy else time.perf_counter
    target = options.bundle or prepared(options.cache, options.size, _progress).bundle

    def measured(bundle: Bundle, threads: int) -> tuple[dict[str, Measured], Probes]:
        seconds_s = options.seconds / options.rounds
        probes, runs = Probes(threads, clock, seconds_s / 3), _runs(bundle, threads)
        works = {f"{name} {use}": work for name, use, work in _works(bundle)}
        found = dict.fromkeys(works, math.inf)
        for number in range(options.rounds):
            _progress(f"{bundle.path}: round {number + 1} of {options.rounds}")
            probes.look([*works.values()])
            for use, run in runs.items():
                found[use] = min(found[use], shortest(run, clock, seconds_s))
        ends = {
            use: Measured(work, probes.products_s(work), found[use]) for use, work in works.items()
        }
        return ends, probes

    known, _ = measured(open_bundle(BUNDLE), 1)
    costs = fitted([*known.values()])
    rows = [_row(f"demo {use}", one, costs, 1.0) for use, one in known.items()]
    asked, probes = measured(open_bundle(target), threads)
    rows += [_row(use, one, costs, probes.share(one.work)) for use, one in asked.items()]
    judged = [row for row in rows if not row["use"].startswith("demo")]
    result = {
        "machine": cpu_name(),
        "threads": threads,
        "clock": clock.__name__,
        "per_run_us": costs.per_run_s * 1e6,
        "per_kernel_us": costs.per_kernel_s * 1e6,
        "per_mb_us": costs.per_mb_s * 1e6,
        "rows": rows,
        "largest_error": max(abs(row["error"]) for row in judged),
    }
    print(json.dumps(result) if options.json else _table(result))
    return 0 if result["largest_error"] <= SHARE else 1


def _works(bundle: Bundle) -> Iterator[tuple[str, str, Any]]:
    for name in ACTING:
        spec = bundle.manifest.subgraphs.get(name)
        for use, work in (spec.work if spec else {}).items():
            yield name, use, work


def _runs(bundle: Bundle, threads: int) -> dict[str, Callable[[], object]]:
    """Runs of every use; a subgraph's are of the same session."""
    backend, sessions, found = OnnxRuntime(threads), dict[str, Session](), {}
    for name, use, _ in _works(bundle):
        spec = bundle.manifest.subgraphs[name]
        if name not in sessions:
            sessions[name] = backend.load(bundle.model(name), spec)
        inputs = _inputs(spec, uses(bundle.manifest.network, name)[use])
        found[f"{name} {use}"] = partial(sessions[name].run, inputs)
    return found


def _inputs(spec: SubgraphSpec, lengths: dict[str, int]) -> dict[str, Any]:
    """Any numbers in the shapes of one use; kinds and slots are 0."""
    random, found = np.random.default_rng(0), {}
    for tensor in spec.inputs:
        shape = tuple(n if isinstance(n, int) else lengths[n] for n in tensor.shape)
        if tensor.dtype == "float32":
            found[tensor.name] = random.standard_normal(shape, np.float32)
        else:
            found[tensor.name] = np.zeros(shape, np.int32)
    return found


def _row(use: str, one: Measured, costs: Costs, share: float) -> dict[str, Any]:
    predicted = predicted_s(one.work, one.products_s, costs, share)
    return {
        "use": use,
        "gflop": one.work.gflop,
        "products_s": one.products_s,
        "share": share,
        "predicted_s": predicted,
        "measured_s": one.seconds,
        "error": predicted / one.seconds - 1,
    }


def _table(result: dict[str, Any]) -> str:
    lines = [
        f"{result['machine']}, {result['threads']} threads, {result['clock']}; fitted to the demo"
        f" on one: {result['per_run_us']:.1f} µs for a run, {result['per_kernel_us']:.2f} for a"
        f" kernel, {result['per_mb_us']:.1f} for a MB",
        f"{'use':24}{'GFLOP':>9}{'products ms':>13}{'predicted ms':>14}{'measured ms':>13}{'':>8}",
    ]
    for row in result["rows"]:
        times = (1e3 * row[key] for key in ("products_s", "predicted_s", "measured_s"))
        a, b, c = times
        lines.append(
            f"{row['use']:24}{row['gflop']:9.3f}{a:13.3f}{b:14.3f}{c:13.3f}{row['error']:+8.1%}"
        )
    return "\n".join([*lines, f"largest error at full size {result['largest_error']:.1%}"])


def _progress(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
