"""What a use of a subgraph takes on this machine, from its work and from nothing else of it.

Its products take what ONNX Runtime takes for products of the same shapes, measured apart, with as
many different weights as fit the caches as little as the subgraph's do. Everything else takes so
much for the run, for each kernel and for each megabyte that kernels read and write: three costs,
fitted to another bundle on one thread. More threads help with the megabytes as far as they help
additions of the same size, measured apart: ONNX Runtime leaves small ones to one thread.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dreamvla_edge.runtime.profiler.host import pair, product, running
from dreamvla_edge.runtime.work import Product, Work

_ENOUGH_BYTES = 96e6
"""Weights that no cache holds."""
_MOST_WEIGHTS, _MOST_PAIRS = 64, 16
_ADDITIONS, _ADDITION_BYTES = 32, 12
"""In a row; what one reads and writes for each number of float32."""


class Costs(NamedTuple):
    """Of everything that is no product [s]."""

    per_run_s: float
    per_kernel_s: float
    per_mb_s: float


class Measured(NamedTuple):
    """A use of a subgraph: its work, what its products alone take and what all of it took [s]."""

    work: Work
    products_s: float
    seconds: float


class Probes:
    """Shortest times of products and additions by shape, in as many looks as were taken.

    threads: of ONNX Runtime; clock: `time.perf_counter`, or the processor's; seconds: of
    repetitions for each shape and look.
    """

    def __init__(self, threads: int, clock: Callable[[], float], seconds: float) -> None:
        self._threads, self._clock, self._seconds = threads, clock, seconds
        self._products: dict[_Shape, float] = {}
        self._additions: dict[tuple[int, int], float] = {}
        self._random = np.random.default_rng(0)

    def look(self, works: Sequence[Work]) -> None:
        """Measures everything that these uses need, each shape once."""
        for shape in {_shape(one, work) for work in works for one in work.products}:
            seconds = shortest(self._product(shape), self._clock, self._seconds)
            self._products[shape] = min(seconds, self._products.get(shape, math.inf))
        for count in {_addition(work) for work in works} if self._threads > 1 else ():
            values = self._some(1, count)
            for threads in (self._threads, 1):
                seconds = shortest(additions(values, threads), self._clock, self._seconds)
                known = self._additions.get((count, threads), math.inf)
                self._additions[count, threads] = min(seconds, known)

    def products_s(self, work: Work) -> float:
        """Of all products of a use that was looked at."""
        shapes = ((one.count, _shape(one, work)) for one in work.products)
        return sum(count * self._products[shape] / shape.together for count, shape in shapes)

    def share(self, work: Work) -> float:
        """Of the time on one thread, what additions of the mean size of a use's kernels take."""
        if self._threads == 1:
            return 1.0
        count = _addition(work)
        return min(1.0, self._additions[count, self._threads] / self._additions[count, 1])

    def _product(self, shape: _Shape) -> Callable[[], object]:
        left, right = (shape.rows, shape.inner), (shape.inner, shape.columns)
        if not shape.weights:
            several = (self._some(shape.together, *one) for one in (left, right))
            return pair(*several, self._threads)
        weights = [self._some(*right) for _ in range(shape.together)]
        return product(self._some(*left), weights, self._threads)

    def _some(self, *shape: int) -> Any:
        return self._random.standard_normal(shape, np.float32)


class _Shape(NamedTuple):
    """Products that are measured together: with different weights, or pairs of two inputs."""

    rows: int
    inner: int
    columns: int
    weights: bool
    together: int


def _shape(one: Product, work: Work) -> _Shape:
    if one.weights is not None:
        size = 4 * one.inner * one.columns
        together = int(min(work.weight_mb * 1e6, _ENOUGH_BYTES) / size)
        together = min(max(1, together), _MOST_WEIGHTS)
    else:
        together = min(one.count, _MOST_PAIRS)
    return _Shape(one.rows, one.inner, one.columns, one.weights is not None, together)


def _addition(work: Work) -> int:
    return max(1, round(work.activation_mb * 1e6 / work.kernels / _ADDITION_BYTES))


def fitted(measured: Sequence[Measured]) -> Costs:
    """The costs, not below zero, with the least squares of relative errors."""
    weight = np.array([1 / one.seconds for one in measured])
    columns = np.array([(1, one.work.kernels, one.work.activation_mb) for one in measured])
    rest = np.array([one.seconds - one.products_s for one in measured])
    a, b = columns * weight[:, None], rest * weight
    tried = []
    for some in np.ndindex((2,) * columns.shape[1]):
        chosen, found = np.array(some, bool), np.zeros(columns.shape[1])
        found[chosen] = np.linalg.lstsq(a[:, chosen], b, rcond=None)[0]
        if (found >= 0).all():
            tried.append((float(((a @ found - b) ** 2).sum()), tuple(found)))
    return Costs(*min(tried)[1])


def predicted_s(work: Work, products_s: float, costs: Costs, share: float = 1.0) -> float:
    """What a use should take; share: see `Probes.share`."""
    starting_s = costs.per_run_s + work.kernels * costs.per_kernel_s
    return products_s + starting_s + work.activation_mb * costs.per_mb_s * share


def additions(values: Any, threads: int) -> Callable[[], object]:
    """Runs additions of float32 values (1, n) to themselves, one after the other, once a call."""
    import onnx

    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    names = ["x", *(f"x{number}" for number in range(_ADDITIONS))]
    nodes = [
        helper.make_node("Add", [before, "x"], [after])
        for before, after in zip(names, names[1:], strict=False)
    ]
    ends = [helper.make_tensor_value_info(name, kind, values.shape) for name in ("x", names[-1])]
    graph = helper.make_graph(nodes, "additions", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 20)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return running(model.SerializeToString(), {"x": values}, threads)


def shortest(run: Callable[[], object], clock: Callable[[], float], seconds: float) -> float:
    """Shortest of the repetitions by a clock [s], at least one, after one that does not count."""
    run()
    found, end = math.inf, time.perf_counter() + seconds
    while found == math.inf or time.perf_counter() < end:
        start = clock()
        run()
        found = min(found, clock() - start)
    return found
