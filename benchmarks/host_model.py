"""What a use of a subgraph takes on this machine, from its work and from nothing else of it.

Its products take what ONNX Runtime takes for products of the same shapes, measured apart, with as
many different weights as fit the caches as little as the subgraph's do. Everything else takes so
much for each kernel and so much for each megabyte that kernels read and write: two costs, fitted to
another bundle.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dreamvla_edge.runtime.profiler.host import pair, product
from dreamvla_edge.runtime.work import Product, Work

_ENOUGH_BYTES = 96e6
"""Weights that no cache holds."""
_MOST_WEIGHTS, _MOST_PAIRS = 64, 16


class Costs(NamedTuple):
    """Of everything that is no product [s]."""

    per_kernel_s: float
    per_mb_s: float


class Measured(NamedTuple):
    """A use of a subgraph: its work, what its products alone take and what all of it took [s]."""

    work: Work
    products_s: float
    seconds: float


class Probes:
    """Times of products by shape, each measured once.

    threads: of ONNX Runtime; clock: `time.perf_counter`, or the processor's; seconds: of
    repetitions for each shape.
    """

    def __init__(self, threads: int, clock: Callable[[], float], seconds: float) -> None:
        self._threads, self._clock, self._seconds = threads, clock, seconds
        self._found: dict[tuple[int, ...], float] = {}
        self._random = np.random.default_rng(0)

    def products_s(self, work: Work) -> float:
        """Of all products of a use."""
        return sum(one.count * self._one_s(one, work.weight_mb * 1e6) for one in work.products)

    def _one_s(self, one: Product, weight_bytes: float) -> float:
        size = 4 * one.inner * one.columns
        if one.weights:
            together = int(min(weight_bytes, _ENOUGH_BYTES) / size)
        else:
            together = -min(one.count, _MOST_PAIRS)  # told apart from weights by its sign
        together = min(together or 1, _MOST_WEIGHTS)
        key = (one.rows, one.inner, one.columns, together)
        if key not in self._found:
            self._found[key] = self._measured(one, together) / abs(together)
        return self._found[key]

    def _measured(self, one: Product, together: int) -> float:
        left, right = (one.rows, one.inner), (one.inner, one.columns)
        if together < 0:
            run = pair(self._some(-together, *left), self._some(-together, *right), self._threads)
        else:
            weights = [self._some(*right) for _ in range(together)]
            run = product(self._some(*left), weights, self._threads)
        return shortest(run, self._clock, self._seconds)

    def _some(self, *shape: int) -> Any:
        return self._random.standard_normal(shape, np.float32)


def fitted(measured: Sequence[Measured]) -> Costs:
    """The costs, not below zero, with the least squares of relative errors."""
    weight = np.array([1 / one.seconds for one in measured])
    columns = np.array([(one.work.kernels, one.work.activation_mb) for one in measured])
    rest = np.array([one.seconds - one.products_s for one in measured])
    a, b = columns * weight[:, None], rest * weight
    tried = []
    for chosen in ([0, 1], [0], [1], []):
        found = np.zeros(2)
        found[chosen] = np.linalg.lstsq(a[:, chosen], b, rcond=None)[0]
        if (found >= 0).all():
            tried.append((float(((a @ found - b) ** 2).sum()), tuple(found)))
    return Costs(*min(tried)[1])


def predicted_s(work: Work, products_s: float, costs: Costs) -> float:
    """What a use should take."""
    others = work.kernels * costs.per_kernel_s + work.activation_mb * costs.per_mb_s
    return products_s + others


def shortest(run: Callable[[], object], clock: Callable[[], float], seconds: float) -> float:
    """Shortest of the repetitions by a clock [s], at least three, after one that does not count."""
    run()
    found, count, end = float("inf"), 0, time.perf_counter() + seconds
    while count < 3 or time.perf_counter() < end:
        start = clock()
        run()
        found, count = min(found, clock() - start), count + 1
    return found
