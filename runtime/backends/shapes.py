"""Which lengths a subgraph's varying axes take: what a compiler of engines must know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from dreamvla_edge.runtime.manifest import NetworkSpec, SubgraphSpec

MOST_TIMES = 16
"""Diffusion times that the denoiser takes at once; the released grid has 10."""


class Lengths(NamedTuple):
    """Least, usual and greatest length of one axis."""

    least: int
    usual: int
    most: int


Shape = tuple[int, ...]
Shapes = Mapping[str, tuple[Shape, Shape, Shape]]
"""By input: least, usual and greatest shape."""


def shapes(network: NetworkSpec, name: str, spec: SubgraphSpec) -> tuple[Shapes, ...]:
    """One entry for each use of a subgraph that an engine shall be tuned for.

    The backbone has two, *step* (a new frame behind those that are known) and *prefill* (the
    known frames of the next window); every other subgraph has one.
    """
    return tuple(
        {
            tensor.name: tuple(  # type: ignore[misc]
                tuple(
                    length if isinstance(length, int) else lengths[length][i]
                    for length in tensor.shape
                )
                for i in range(3)
            )
            for tensor in spec.inputs
        }
        for lengths in _uses(network, name)
    )


def _uses(network: NetworkSpec, name: str) -> tuple[Mapping[str, Lengths], ...]:
    step, slots = network.context_rows, network.window + network.slots_ahead
    known = step * (network.window - 1)
    if name == "embed":
        return ({"n": Lengths(1, 1, slots)},)
    if name == "denoise":
        return ({"B": Lengths(1, 1, MOST_TIMES)},)
    if name != "backbone":
        return ({},)
    newest = step * (1 + network.slots_ahead) + network.query_rows
    one_step = {
        "T": Lengths(step + network.query_rows, newest, step * slots + network.query_rows),
        "N": Lengths(0, known, known),
        "M": Lengths(1, network.action_steps, network.query_rows),
    }
    prefill = {
        "T": Lengths(step, max(known, step), step * slots),
        "N": Lengths(0, 0, 0),
        "M": Lengths(1, 1, 1),
    }
    return one_step, prefill
