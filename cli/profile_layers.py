"""`dreamvla profile --layers`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from dreamvla_edge.runtime.profiler.layers import time_layers
from dreamvla_edge.runtime.samplers.named import replacement

from .profile_table import ms

if TYPE_CHECKING:
    from dreamvla_edge.runtime.bundle import Bundle

    from .profile_run import Asked
    from .report import Report

_SHOWN = 25


def layered(bundle: Bundle, asked: Asked, report: Report) -> None:
    """Times every layer and shows those that take longest in a control step; all with -v."""
    report.progress(f"timing the layers of {asked.runs} steps")
    sampler = replacement(bundle.manifest, asked.sampler)
    found = time_layers(bundle, asked.backend, asked.threads, asked.runs, sampler)
    total = sum(layer.step_s for layer in found)
    shown = found if report.verbosity > 0 else found[:_SHOWN]
    report.table(
        ("subgraph", "use", "layer", "operator", "ms", "times", "% of step"),
        (
            (
                layer.subgraph,
                layer.use,
                layer.layer,
                layer.operator,
                ms(layer.seconds),
                str(layer.times),
                f"{100 * layer.step_s / total:.1f}",
            )
            for layer in shown
        ),
    )
    if len(shown) < len(found):
        rest = sum(layer.step_s for layer in found[len(shown) :]) / total
        report.text(f"{len(found) - len(shown)} more layers take {100 * rest:.0f} %: see with -v")
    report.text(
        f"{ms(total)} ms of layers in a step, prefill included; timing them makes it slower"
    )
    report.document(
        {
            "backend": asked.backend,
            "steps": asked.runs,
            "step_s": total,
            "layers": [{**asdict(layer), "step_s": layer.step_s} for layer in found],
        }
    )
