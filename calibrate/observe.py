"""What the activations of a bundle are like on its data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from dreamvla_edge.runtime.bundle import Bundle
from dreamvla_edge.runtime.policy import Policy

from .data import Moment
from .histogram import Histogram
from .watching import Watching

Seen = Mapping[str, Mapping[str, Histogram]]
"""By subgraph and tensor."""


def observe(
    bundle: Bundle, subgraphs: tuple[str, ...], data: Iterable[Moment], frames: int
) -> Seen:
    """Histograms of the activations before all layers of these subgraphs.

    data: acted on in its order, at most so many frames of it; the noise is drawn from seed 0.
    """
    watching = Watching(subgraphs)
    random = np.random.default_rng(0)
    with Policy(bundle, watching) as policy:
        for count, moment in enumerate(data):
            if count == frames:
                break
            if moment.first or not count:
                policy.reset(moment.instruction)
            noise = policy.noise(random)
            policy.act(moment.primary, moment.wrist, moment.state, noise)
        policy.settle()
    return watching.seen


def save(seen: Seen, path: Path) -> None:
    """One npz, so that another plan for the same bundle needs no data again."""
    arrays = {
        f"{subgraph}|{tensor}|{part}": np.asarray(getattr(histogram, part))
        for subgraph, tensors in seen.items()
        for tensor, histogram in tensors.items()
        for part in ("counts", "width", "lows", "highs")
    }
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def load(path: Path) -> Seen:
    """What `save` wrote."""
    found: dict[str, dict[str, dict[str, np.ndarray]]] = {}
    with np.load(path, allow_pickle=False) as arrays:
        for key in arrays.files:
            subgraph, tensor, part = key.split("|")
            found.setdefault(subgraph, {}).setdefault(tensor, {})[part] = arrays[key]
    return {
        subgraph: {
            tensor: Histogram(p["counts"], float(p["width"]), p["lows"], p["highs"])
            for tensor, p in tensors.items()
        }
        for subgraph, tensors in found.items()
    }
