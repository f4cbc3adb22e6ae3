"""The tables of docs/roofline.md: every board's floors for the released CALVIN network.

    python benchmarks/boards_table.py          # prints them
    python benchmarks/boards_table.py --write  # into docs/roofline.md

Work by closed formulas (`export/closed_form.py`): nothing is exported and nothing is measured.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from dreamvla_edge.export.closed_form import closed_stages
from dreamvla_edge.model.synthetic import CALVIN
from dreamvla_edge.runtime.errors import BoardError
from dreamvla_edge.runtime.profiler.boards import Board, Mode, boards
from dreamvla_edge.runtime.profiler.prediction import ASSUMED, Prediction, assumed, predict_stages
from dreamvla_edge.runtime.profiler.roofline import ACTION, WHOLE

DOCS = Path(__file__).resolve().parent.parent / "docs" / "roofline.md"
RATE_HZ = 30.0
"""Of CALVIN."""
STAGES = ("vision", "step", "sampler", ACTION, "prefill", WHOLE)
PRECISIONS = ("fp16", "orin", "thor")


def predictions(precision: str) -> Iterator[tuple[Board, Mode, Prediction]]:
    """One for each power mode of each board that knows the formats of a precision."""
    work = assumed(closed_stages(CALVIN), precision)
    for board in boards().values():
        for mode in board.modes:
            try:
                found = predict_stages(
                    *(work, board.roof(mode.name), RATE_HZ, CALVIN.action_steps),
                    precision=precision,
                    efficiencies={},
                )
            except BoardError:
                continue
            yield board, mode, found


def tables() -> str:
    """Markdown: what the boards are, then one table for each precision."""
    lines = ["| board | power mode | SMs | GPU MHz | GB/s | fp16 T/s | int8 T/s | from |"]
    lines.append("|---|---|--:|--:|--:|--:|--:|---|")
    for board in boards().values():
        for mode in board.modes:
            roof = board.roof(mode.name)
            peaks = [f"{roof.operations_per_s[name] / 1e12:.1f}" for name in ("fp16", "int8")]
            star = " *" if mode.name == board.default else ""
            cells = [board.title, mode.name + star, str(mode.sms), f"{mode.gpu_mhz:g}"]
            cells += [f"{roof.bytes_per_s / 1e9:.1f}", *peaks, board.source]
            lines.append("| " + " | ".join(cells) + " |")
    for precision in PRECISIONS:
        lines += ["", f"**{_TITLES[precision]}**", ""]
        lines.append("| board | power mode | " + " | ".join(STAGES) + " | expected | 30 Hz |")
        lines.append("|---|---|" + "--:|" * len(STAGES) + "--:|---|")
        for board, mode, found in predictions(precision):
            floors = [_floor(found, stage) for stage in STAGES]
            whole = found.stages[WHOLE]
            expected = f"{_ms(whole.low_s)}–{_ms(whole.high_s)}"
            cells = [board.title, mode.name, *floors, expected, _pace(found)]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


_TITLES = {
    "fp16": "fp16: all in half precision",
    "orin": "preset orin: vision and backbone in int8, the denoiser's weights in int8",
    "thor": "preset thor: all in fp8",
}
assert set(PRECISIONS) <= set(ASSUMED)


def _floor(found: Prediction, stage: str) -> str:
    """With a letter for what it is bound by: c for compute, m for memory."""
    floor = found.stages[stage].floor
    letter = {"arithmetic": " c", "memory": " m", "both": ""}[floor.bound_by]
    return _ms(floor.seconds) + letter


def _pace(found: Prediction) -> str:
    best, worst = found.best, found.worst
    if worst.name == "real":
        return "real time"
    if best.name == "real":
        return f"real time or ×{worst.factor:.2f}"
    return f"×{worst.factor:.2f}–{best.factor:.2f}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.1f}"


def written(text: str) -> str:
    """A page with today's tables between its two marks."""
    marks = re.compile(r"(<!-- tables -->\n).*?(<!-- end of tables -->)", re.S)
    return marks.sub(lambda found: found[1] + "\n" + tables() + "\n" + found[2], text)


def main() -> int:
    """Prints or writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="into docs/roofline.md")
    if parser.parse_args().write:
        DOCS.write_text(written(DOCS.read_text()))
    else:
        print(tables(), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
