"""The world in which a bundle does its tasks: the scene, or a suite of LIBERO."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import click

if TYPE_CHECKING:
    from dreamvla_edge.sim.evaluation.evaluation import Asked

libero_option = click.option(
    "--libero",
    metavar="SUITE",
    help="In LIBERO (libero_spatial, …) instead of the scene. Needs the extra [libero].",
)


class World(NamedTuple):
    """first: the lowest seed that no training has seen; trials: of a range of seeds."""

    first: int
    trials: Callable[..., list[Asked]]


def world_of(suite: str | None) -> World:
    """The scene, or a suite of LIBERO.

    Raises ObservationError if there is no such suite, ModuleNotFoundError without its packages.
    """
    from dreamvla_edge.sim.evaluation.evaluation import trials
    from dreamvla_edge.sim.scene.layout import TRAINING

    if suite is None:
        return World(TRAINING, trials)
    from dreamvla_edge.sim.evaluation import libero

    libero.require(suite)
    return World(0, partial(libero.trials, suite))
