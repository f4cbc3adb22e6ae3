"""A recording as a drawing (SVG): every joint over time, which limits acted, and lateness."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.errors import RecordingError
from dreamvla_edge.runtime.guardian.message import Limit

from .recording import Recording
from .step import Float64

WIDTH, HEIGHT = 1000, 130
_LEFT, _RIGHT, _TOP, _GAP = 70, 150, 50, 22
_POINTS = 1500
"""Columns of a line: more than the picture has would not be seen."""

COLOURS = {"asked": "#9a9a9a", "sent": "#1f6fb4", "measured": "#d95f02"}
_LIMIT_COLOUR, _LATENESS_COLOUR = "#c00000", "#555555"


class Panel(NamedTuple):
    """A chart: its title, name and values (n,) of each line, and where marks stand at its foot."""

    title: str
    lines: Sequence[tuple[str, str, Float64]]
    marks: NDArray[np.bool_]


def draw(recording: Recording) -> str:
    """The drawing. Raises RecordingError if the guardian reported nothing."""
    reports = recording.reports
    if not len(reports):
        raise RecordingError(
            f"{recording.folder} holds no report of the guardian",
            "at least one",
            "record with `dreamvla run --record` or `dreamvla record`",
        )
    times_s = (reports["deadline_ns"] - reports["deadline_ns"][0]) * 1e-9
    panels = [*_joints(recording), _gripper(reports), _lateness(reports)]
    height = _TOP + len(panels) * (HEIGHT + _GAP) + 20
    width = _LEFT + WIDTH + _RIGHT
    limits = sorted({int(limit) for limit in reports["limit"]} - {int(Limit.NONE)})
    acted = ", ".join(Limit(limit).name.lower() for limit in limits) or "none"
    title = f"{recording.header.robot}: {recording.header.started}, limits that acted: {acted}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}"'
        f' viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{_LEFT}" y="24" font-size="15">{escape(title)}</text>',
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, times_s, _TOP + number * (HEIGHT + _GAP))
    seconds = f"time [s], {times_s[-1]:.1f} s in all"
    parts.append(f'<text x="{_LEFT}" y="{height - 8}">{seconds}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _joints(recording: Recording) -> list[Panel]:
    reports = recording.reports
    panels = []
    for i, name in enumerate(recording.header.joints):
        lines = [(line, colour, reports[line][:, i]) for line, colour in COLOURS.items()]
        acted = (reports["limit"] != Limit.NONE) & (reports["limit_joint"] == i)
        panels.append(Panel(f"{name} [rad]", lines, acted))
    return panels


def _gripper(reports: NDArray[Any]) -> Panel:
    order = {"measured": 0, "asked": 1, "sent": 2}
    lines = [(line, colour, reports["gripper"][:, order[line]]) for line, colour in COLOURS.items()]
    return Panel("gripper opening", lines, np.zeros(len(reports), bool))


def _lateness(reports: NDArray[Any]) -> Panel:
    late_ms = reports["lateness_ns"] * 1e-6
    return Panel(
        "lateness of the guardian [ms]; marks: missed cycles",
        [("lateness", _LATENESS_COLOUR, late_ms)],
        np.diff(reports["missed"].astype(np.int64), prepend=reports["missed"][0]) > 0,
    )


def _panel(panel: Panel, times_s: Float64, top: int) -> list[str]:
    values = np.concatenate([line[2][np.isfinite(line[2])] for line in panel.lines])
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    if high - low < 1e-6:
        low, high = low - 0.5, high + 0.5
    x = _LEFT + WIDTH * (times_s / max(float(times_s[-1]), 1e-9))
    parts = [
        f'<rect x="{_LEFT}" y="{top}" width="{WIDTH}" height="{HEIGHT}" fill="none"'
        ' stroke="#cccccc"/>',
        f'<text x="{_LEFT + 6}" y="{top + 15}">{escape(panel.title)}</text>',
        f'<text x="{_LEFT - 6}" y="{top + 10}" text-anchor="end">{high:.3g}</text>',
        f'<text x="{_LEFT - 6}" y="{top + HEIGHT}" text-anchor="end">{low:.3g}</text>',
    ]
    for number, (name, colour, line) in enumerate(panel.lines):
        y = top + HEIGHT * (high - line) / (high - low)
        parts += [_polyline(x[part], y[part], colour) for part in _pieces(line)]
        place = f'x="{_LEFT + WIDTH + 8}" y="{top + 15 + 16 * number}"'
        parts.append(f'<text {place} fill="{colour}">{name}</text>')
    foot = top + HEIGHT
    marks = "".join(f"M{mark:.1f} {foot}v-8" for mark in np.unique(x[panel.marks].round(1)))
    if marks:
        parts.append(f'<path d="{marks}" stroke="{_LIMIT_COLOUR}"/>')
    return parts


def _pieces(line: Float64) -> list[NDArray[np.intp]]:
    """Indices of the stretches without a gap; of what falls on one column, least and greatest."""
    known = np.flatnonzero(np.isfinite(line))
    if not known.size:
        return []
    stride = max(1, len(line) // _POINTS)
    pieces = []
    for stretch in np.split(known, np.flatnonzero(np.diff(known) > 1) + 1):
        columns = np.array_split(stretch, -(-len(stretch) // stride))
        ends = [(c[np.argmin(line[c])], c[np.argmax(line[c])]) for c in columns]
        pieces.append(np.unique(ends))
    return pieces


def _polyline(x: Float64, y: Float64, colour: str) -> str:
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.2"/>'
