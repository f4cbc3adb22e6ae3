"""`dreamvla profile --predict`: what a bundle will take on a board that is not here."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .report import Report

if TYPE_CHECKING:
    from dreamvla_edge.runtime.bundle import Bundle
    from dreamvla_edge.runtime.profiler.prediction import Prediction


def show_prediction(
    bundle: Bundle, board_name: str, mode: str | None, sampler: str | None, report: Report
) -> None:
    """Shows floors and expected times of all stages on a board in a power mode.

    mode: None for the one that the board starts in; sampler: instead of the bundle's own, by its
    name. Raises BoardError for a board, a power mode or a number format that is not there, and
    BundleError if the bundle's work was not counted.
    """
    from dreamvla_edge.runtime.errors import BoardError
    from dreamvla_edge.runtime.profiler.boards import board
    from dreamvla_edge.runtime.profiler.prediction import ASSUMED, predict
    from dreamvla_edge.runtime.samplers.named import replacement

    manifest, chosen = bundle.manifest, board(board_name)
    roof, spec = chosen.roof(mode), replacement(manifest, sampler)
    found = predict(manifest, roof, sampler=spec)
    others = []
    for precision in ASSUMED if manifest.quantization is None else ():
        try:
            others.append(predict(manifest, roof, precision, sampler=spec))
        except BoardError:
            continue  # a format that the board does not know
    _show(found, others, report)
    modes = ", ".join(one.name for one in chosen.modes if one.name != roof.mode)
    if modes:
        report.text(f"other power modes: {modes}")
    needed = (found.weights_mb / 1e3, chosen.memory_gb)
    report.text("weights {:.2f} GB of the board's {:g} GB".format(*needed))
    report.document(
        {
            "prediction": _document(found),
            "if_quantized": {one.precision: _document(one) for one in others},
            "memory_gb": chosen.memory_gb,
        }
    )


def _show(found: Prediction, others: list[Prediction], report: Report) -> None:
    from dreamvla_edge.runtime.profiler.roofline import WHOLE

    report.text(f"prediction, not measured: {found.machine}, power mode {found.mode}\n")
    report.table(
        ("stage", "GFLOP", "MB", "floor ms", "bound by", "expected ms"),
        (
            (
                name,
                f"{one.floor.gflop:.2f}",
                f"{one.floor.mb:.1f}",
                _ms(one.floor.seconds),
                one.floor.bound_by,
                f"{_ms(one.low_s)} to {_ms(one.high_s)}",
            )
            for name, one in found.stages.items()
        ),
    )
    report.text(f"\n{found.verdict}")
    if others:
        report.text("\nif it were quantized:")
        report.table(
            ("as", "floor ms", "expected ms", "in real time"),
            (
                (
                    one.precision,
                    _ms(one.stages[WHOLE].floor.seconds),
                    f"{_ms(one.stages[WHOLE].low_s)} to {_ms(one.stages[WHOLE].high_s)}",
                    one.verdict.partition(": ")[2],
                )
                for one in others
            ),
        )
    for its in dict.fromkeys(found.efficiencies.values()):
        names = ", ".join(name for name, one in found.efficiencies.items() if one == its)
        report.text(
            f"\nassumed of {names}: {100 * its.low:.0f} to {100 * its.high:.0f} % of the roofline,"
            f" {its.start_low_s * 1e6:.1f} to {its.start_high_s * 1e6:.1f} µs at least for a"
            f" kernel; from {its.source}"
        )


def _document(found: Prediction) -> dict[str, Any]:
    return {**asdict(found), "verdict": found.verdict}


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g}"
