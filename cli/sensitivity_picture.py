"""Draws what each group of layers costs when it is quantized, and which are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from dreamvla_edge.calibrate.plan import QuantPlan
    from dreamvla_edge.calibrate.sensitivity import Effect

_ROW, _LEFT, _WIDTH, _HEAD = 18, 330, 520, 56
_KEPT, _QUANTIZED, _INK = "#dc267f", "#648fff", "#282828"


def draw_effects(
    found: Sequence[Effect], plan: QuantPlan, groups: Mapping[str, Mapping[str, tuple[str, ...]]]
) -> str:
    """An SVG: a bar for each group, the worst first, as long as its share of a seed's spread.

    groups: layers of each group by subgraph; a group is kept if the plan keeps its layers.
    """
    longest = max((effect.likeness.error_share for effect in found), default=1.0) or 1.0
    height = _HEAD + _ROW * len(found) + 16
    rows = [
        f'<text x="12" y="22" font-size="15">{escape(plan.name)}: error of the actions when one'
        " group alone is quantized</text>",
        f'<text x="12" y="42">as a share of what another noise seed changes; <tspan fill='
        f'"{_QUANTIZED}">quantized</tspan>, <tspan fill="{_KEPT}">kept</tspan></text>',
    ]
    for number, effect in enumerate(found):
        y = _HEAD + _ROW * number
        choice = plan.subgraphs[effect.subgraph]
        kept = all(choice.keeps(layer) for layer in groups[effect.subgraph][effect.group])
        share, flips = effect.likeness.error_share, 100 * effect.likeness.flips
        length = max(1.0, _WIDTH * share / longest)
        label = escape(f"{effect.subgraph}: {effect.group}")
        rows += [
            f'<text x="{_LEFT - 8}" y="{y + 12}" text-anchor="end">{label}</text>',
            f'<rect x="{_LEFT}" y="{y + 2}" width="{length:.1f}" height="{_ROW - 5}"'
            f' fill="{_KEPT if kept else _QUANTIZED}"/>',
            f'<text x="{_LEFT + length + 6:.1f}" y="{y + 12}">{share:.4f}, flips'
            f" {flips:.1f} %</text>",
        ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 170}"'
        f' height="{height}" font-family="sans-serif" font-size="12" fill="{_INK}">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(rows)}</svg>'
    )
