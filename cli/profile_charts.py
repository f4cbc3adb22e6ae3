"""Charts of a profile as inline SVG: text sizes hold from a telephone to a desk.

Every chart is WIDTH units wide and drawn so that a unit is between 0.9 and 1.6 pixels; colours are
those of the page's style sheet.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape

import numpy as np

from dreamvla_edge.runtime.profiler.profile import Profile, Stage
from dreamvla_edge.runtime.profiler.timeline import OTHER, PREFILL

WIDTH = 360
_LABELS, _VALUES = 80, 44  # columns for names on the left and numbers on the right
_ROW, _BAR = 19, 11
_TOP, _AXIS = 6, 26
_LINE = 13  # between two texts below each other
_PLOT = 190
_MOST_POINTS = 400
_TOPS = (1.0, 1.2, 1.6, 2.0, 2.4, 3.2, 4.0, 6.0, 8.0, 10.0)  # quarters of them are short numbers
_TICKS = (1.0, 2.0, 5.0, 10.0)


def number(value: float) -> str:
    """Milliseconds in at most five characters."""
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def waterfall(found: Profile) -> str:
    """The median decision: every stage where it lies, its floor in it; what is computed ahead."""
    stages = {name: stage for name, stage in found.stages.items() if name != OTHER}
    starts, at = dict[str, float](), 0.0
    ahead_ms = 0.0
    for name, stage in stages.items():
        if name == PREFILL:
            continue
        starts[name] = at
        at += stage.summary.p50 * 1e3
        if name == "kinematics":
            ahead_ms = at
    if PREFILL in stages:
        starts[PREFILL] = ahead_ms
    end = max(starts[name] + stage.summary.p50 * 1e3 for name, stage in stages.items())
    room = WIDTH - _LABELS - _VALUES
    bottom = _TOP + _ROW * len(stages)
    parts = [_axis(end, bottom, room)]
    for row, (name, stage) in enumerate(stages.items()):
        y = _TOP + row * _ROW
        x, width = _LABELS + starts[name] / end * room, stage.summary.p50 * 1e3 / end * room
        kind = "ahead" if name == PREFILL else "bar"
        parts.append(_text(_LABELS - 6, y + _BAR, name, "end"))
        parts.append(_rect(x, y + 2, max(width, 1), _BAR, kind, _told(name, stage)))
        if stage.floor is not None and stage.floor.seconds > 0:
            least = min(width, stage.floor.seconds * 1e3 / end * room)
            parts.append(_rect(x, y + 2, max(least, 1), _BAR, "floor"))
        value = number(stage.summary.p50 * 1e3)
        parts.append(_text(x + max(width, 1) + 4, y + _BAR, value, "start", "value"))
    return _svg(parts, bottom + _AXIS, "Median of every stage on the way from picture to servos")


def spreads(found: Profile) -> str:
    """Every stage on one logarithmic scale: median, to p90, to p99, the largest."""
    stages = {name: stage for name, stage in found.stages.items() if stage.summary.p50 > 0}
    stages["end to end"] = found.end_to_end
    most = max(stage.summary.max for stage in stages.values()) * 1e3
    least = min(stage.summary.p50 for stage in stages.values()) * 1e3
    low, high = math.floor(math.log10(least)), math.ceil(math.log10(most) + 1e-9)
    room, bottom = WIDTH - _LABELS - 12, _TOP + _ROW * len(stages)

    def x_of(seconds: float) -> float:
        share = (math.log10(max(seconds * 1e3, 10.0**low)) - low) / max(high - low, 1)
        return _LABELS + share * room

    parts = []
    for power in range(low, high + 1):
        x = _LABELS + (power - low) / max(high - low, 1) * room
        parts.append(_line(x, _TOP, x, bottom, "grid"))
        last = power == high
        parts.append(
            _text(x + 8 * last, bottom + 13, f"{10.0**power:g}", "end" if last else "middle")
        )
    parts.append(_text(WIDTH - 4, bottom + 25, "ms", "end"))
    for row, (name, stage) in enumerate(stages.items()):
        y, s = _TOP + row * _ROW + 8, stage.summary
        parts.append(_text(_LABELS - 6, y + 4, name, "end"))
        parts.append(_line(x_of(s.p50), y, x_of(s.max), y, "thin", _told(name, stage)))
        parts.append(_line(x_of(s.p50), y, x_of(s.p99), y, "middle"))
        parts.append(_line(x_of(s.p50), y, x_of(s.p90), y, "thick"))
        parts.append(f'<circle class="dot" cx="{x_of(s.p50):.1f}" cy="{y}" r="3.5"/>')
    return _svg(parts, bottom + _AXIS + 4, "Median, p90, p99 and maximum of every stage")


def over_time(found: Profile) -> str:
    """End to end of every decision, in their order."""
    values = np.array(found.end_to_end.seconds) * 1e3
    summary = found.end_to_end.summary
    top = _nice(float(values.max()) * 1.02)
    left, right, height = 34, 30, _PLOT
    room = WIDTH - left - right

    def y_of(value: float) -> float:
        return _TOP + height * (1 - value / top)

    parts = _levels(top, left, WIDTH - right, y_of)
    keep = np.unique(np.linspace(0, len(values) - 1, min(len(values), _MOST_POINTS)).round())
    for i in keep.astype(int):
        x = left + (i + 0.5) / len(values) * room
        parts.append(f'<circle class="point" cx="{x:.1f}" cy="{y_of(values[i]):.1f}" r="1.7"/>')
    levels = {"p50": summary.p50 * 1e3, "p99": summary.p99 * 1e3}
    places = _apart([y_of(value) for value in levels.values()])
    for (name, value), y in zip(levels.items(), places, strict=True):
        parts.append(_line(left, y_of(value), WIDTH - right, y_of(value), "level"))
        parts.append(_text(WIDTH - right + 3, y + 4, name, "start", "value"))
    parts.append(_text(left, _TOP + height + 15, "1", "middle"))
    parts.append(_text(WIDTH - right, _TOP + height + 15, f"decision {len(values)}", "end"))
    return _svg(parts, _TOP + height + 22, "End to end of every decision, in milliseconds")


def tail(curves: Mapping[str, Sequence[float]]) -> str:
    """How many decisions take longer: quantiles on a scale that shows the tail; at most two."""
    most = max(max(values) for values in curves.values()) * 1e3
    count = max(len(values) for values in curves.values())
    top, left, right, height = _nice(most * 1.02), 34, 12, _PLOT
    shares = [share for share in (50, 90, 99, 99.9, 99.99) if 100 / (100 - share) <= 4 * count]
    end = max(math.log10(count), math.log10(100 / (100 - shares[-1])))
    room = WIDTH - left - right

    def x_of(share: float) -> float:
        return left + -math.log10(max(1 - share, 1e-9)) / end * room

    def y_of(value: float) -> float:
        return _TOP + height * (1 - value / top)

    parts = _levels(top, left, WIDTH - right, y_of)
    for share in shares:
        x = x_of(share / 100)
        parts.append(_line(x, _TOP, x, _TOP + height, "grid"))
        anchor = "middle" if x < WIDTH - right - 12 else "end"
        parts.append(_text(min(x, WIDTH - 2), _TOP + height + 15, f"{share:g} %", anchor))
    for number_, values in enumerate(curves.values()):
        ordered = np.sort(np.asarray(values)) * 1e3
        ranks = (np.arange(len(ordered)) + 0.5) / len(ordered)
        points = " ".join(
            f"{x_of(rank):.1f},{y_of(value):.1f}"
            for rank, value in zip(ranks, ordered, strict=True)
        )
        parts.append(f'<polyline class="curve{number_}" points="{points}"/>')
    return _svg(parts, _TOP + height + 22, "Quantiles, in milliseconds")


def _told(name: str, stage: Stage) -> str:
    """What a pointer over it shows."""
    s = stage.summary
    return (
        f"{name}: {stage.what}; median {s.p50 * 1e3:.3f} ms ({s.low * 1e3:.3f} to"
        f" {s.high * 1e3:.3f}), p99 {s.p99 * 1e3:.3f}, most {s.max * 1e3:.3f}"
    )


def _axis(end: float, bottom: float, room: float) -> str:
    step = _nice(end / 5, _TICKS) if end > 0 else 1.0
    ticks = np.arange(0, end + step * 1e-6, step)
    parts = []
    for tick in ticks:
        x = _LABELS + tick / end * room
        parts.append(_line(x, _TOP, x, bottom, "grid"))
        parts.append(_text(x, bottom + 14, f"{tick:g}", "middle"))
    parts.append(_text(WIDTH - 4, bottom + 14, "ms", "end"))
    return "".join(parts)


def _levels(top: float, left: float, right: float, y_of: Callable[[float], float]) -> list[str]:
    """Horizontal lines with their numbers."""
    parts = []
    for value in map(float, np.linspace(0, top, 5)):
        parts.append(_line(left, y_of(value), right, y_of(value), "grid"))
        parts.append(_text(left - 5, y_of(value) + 4, f"{value:g}", "end"))
    return parts


def _nice(value: float, steps: Sequence[float] = _TOPS) -> float:
    """The next of these steps times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in steps if step * power >= value * (1 - 1e-9))


def _apart(places: Sequence[float]) -> list[float]:
    """The same places, moved until texts there do not touch."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    found = list(places)
    for above, below in zip(order, order[1:], strict=False):
        found[below] = max(found[below], found[above] + _LINE)
    return found


def _rect(x: float, y: float, width: float, height: float, kind: str, told: str = "") -> str:
    title = f"<title>{escape(told)}</title>" if told else ""
    return (
        f'<rect class="{kind}" x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height}">'
        f"{title}</rect>"
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str, told: str = "") -> str:
    title = f"<title>{escape(told)}</title>" if told else ""
    return (
        f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}">'
        f"{title}</line>"
    )


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(parts: Iterable[str], height: float, label: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )
