"""What LeRobot keeps of every feature: extremes, mean, deviation, quantiles and count."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_QUANTILES = {"q01": 0.01, "q10": 0.10, "q50": 0.50, "q90": 0.90, "q99": 0.99}


def column_statistics(values: NDArray[Any]) -> dict[str, Any]:
    """Of a column (n,) or (n, width), by dimension."""
    rows = values.reshape(len(values), -1).astype(np.float64)
    stats = {
        "min": rows.min(0),
        "max": rows.max(0),
        "mean": rows.mean(0),
        "std": rows.std(0),
        **{name: np.quantile(rows, q, axis=0) for name, q in _QUANTILES.items()},
    }
    return {name: value.tolist() for name, value in stats.items()} | {"count": [len(rows)]}


def picture_statistics(counts: NDArray[np.int64]) -> dict[str, Any]:
    """Of pixels in 0 to 1, by channel as (3, 1, 1), from how often each value occurs (3, 256)."""
    values, total = np.arange(256) / 255, counts.sum(1)
    mean = counts @ values / total
    cumulated = counts.cumsum(1) / total[:, None]
    stats = {
        "min": values[(counts > 0).argmax(1)],
        "max": values[255 - (counts > 0)[:, ::-1].argmax(1)],
        "mean": mean,
        "std": np.sqrt(np.maximum(counts @ values**2 / total - mean**2, 0)),
        **{name: values[(cumulated >= q).argmax(1)] for name, q in _QUANTILES.items()},
    }
    shaped = {name: value.reshape(3, 1, 1).tolist() for name, value in stats.items()}
    return shaped | {"count": [int(total[0])]}
