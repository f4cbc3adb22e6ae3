"""Losses over the steps of training, as a picture."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

CURVES = "curves.png"
_SMOOTH = 10
"""Lines of the log that one point is the mean of."""


def draw_curves(logs: Mapping[str, Path], folder: Path) -> None:
    """Draws CURVES in a folder: one panel for each loss, one line for each run by its name."""
    from matplotlib.figure import Figure

    runs = {
        name: [json.loads(line) for line in path.read_text().splitlines()]
        for name, path in sorted(logs.items())
    }
    losses = sorted({key for lines in runs.values() for line in lines for key in line} - _OTHER)
    figure = Figure(figsize=(3.4 * len(losses), 3), layout="constrained")
    for panel, loss in zip(np.atleast_1d(figure.subplots(1, len(losses))), losses, strict=True):
        for name, lines in runs.items():
            points = [(line["step"], line[loss]) for line in lines if loss in line]
            if points:
                panel.plot(*_smoothed(np.array(points)).T, label=name, linewidth=1)
        panel.set(title=loss, xlabel="step", yscale="log")
        panel.grid(alpha=0.3)
    figure.axes[0].legend(fontsize="small")
    figure.savefig(folder / CURVES, dpi=120)


_OTHER = {"step", "steps_per_s", "loss"}


def _smoothed(points: np.ndarray) -> np.ndarray:
    """Means of _SMOOTH points each; all of them while they are few."""
    whole = len(points) // _SMOOTH * _SMOOTH
    if whole < 3 * _SMOOTH:
        return points
    means: np.ndarray = points[:whole].reshape(-1, _SMOOTH, 2).mean(1)
    return means
