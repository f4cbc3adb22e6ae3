"""What one run of a subgraph does, counted from its graph: products, bytes, kernels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Literal

import msgspec

from .specification import Contract

Format = Literal["fp32", "fp16", "int8", "fp8"]
"""Of numbers that are multiplied; `int8` also where activations are unsigned."""
Stored = Literal["fp32", "fp16", "int8", "fp8", "int4"]
"""Of weights in a file."""
BYTES: Mapping[str, float] = {"fp32": 4, "fp16": 2, "int8": 1, "fp8": 1, "int4": 0.5}
"""Of one number."""


class Product(Contract, frozen=True):
    """`count` matrix products of one shape: (rows, inner) by (inner, columns).

    format: in which it is multiplied; weights: how the right-hand side is stored, None where both
    sides are computed, as in attention, which has one product for each head.
    """

    rows: int
    inner: int
    columns: int
    count: int
    format: Format
    weights: Stored | None

    def __post_init__(self) -> None:
        if min(self.rows, self.inner, self.columns, self.count) < 1:
            raise ValueError("a product of nothing")

    @property
    def operations(self) -> float:
        """Of all `count`: two for a multiply-add."""
        return 2.0 * self.rows * self.inner * self.columns * self.count

    @property
    def weight_bytes(self) -> float:
        """Of all right-hand sides that are stored."""
        return self.inner * self.columns * self.count * BYTES[self.weights] if self.weights else 0.0


class Work(Contract, frozen=True):
    """What one run of a subgraph does.

    weight_mb: constants that it reads, rows of tables as far as they are looked up; cache_mb: keys
    and values of earlier steps; activation_mb: what goes in and out of all kernels, which stays on
    the chip where there is room; kernels: nodes that compute or move numbers, before a compiler
    fuses them.
    """

    products: tuple[Product, ...]
    weight_mb: float
    cache_mb: float
    activation_mb: float
    kernels: int

    @property
    def gflop(self) -> float:
        """Of all products, whatever their format."""
        return sum(product.operations for product in self.products) / 1e9

    @property
    def operations(self) -> dict[str, float]:
        """By the format in which they are done."""
        found: Counter[str] = Counter()
        for product in self.products:
            found[product.format] += product.operations  # type: ignore[assignment]
        return dict(found)


def converted(work: Work, format: Format, weights: Stored, rest: Format) -> Work:
    """The same work in other number formats: a bundle that is not quantized, as if it were.

    format: of products with weights; weights: how those are stored; rest: of everything else,
    activations and attention too.
    """
    products = tuple(
        msgspec.structs.replace(
            product,
            format=format if product.weights else rest,
            weights=weights if product.weights else None,
        )
        for product in work.products
    )
    was = sum(product.weight_bytes for product in work.products) / 1e6
    now = sum(product.weight_bytes for product in products) / 1e6
    shrunk = BYTES[rest] / BYTES["fp32"]
    return msgspec.structs.replace(
        work,
        products=products,
        weight_mb=now + (work.weight_mb - was) * shrunk,
        cache_mb=work.cache_mb * shrunk,
        activation_mb=work.activation_mb * shrunk,
    )


def batched(work: Work, batch: int) -> Work:
    """The same work for `batch` independent inputs at once, which share the weights."""
    products = tuple(
        msgspec.structs.replace(product, rows=product.rows * batch)
        if product.weights
        else msgspec.structs.replace(product, count=product.count * batch)
        for product in work.products
    )
    return msgspec.structs.replace(
        work, products=products, activation_mb=work.activation_mb * batch
    )
