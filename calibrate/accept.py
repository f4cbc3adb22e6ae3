"""Whether a changed bundle still acts like the one it was made from, on recorded frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.backends import Backend
from dreamvla_edge.runtime.bundle import Bundle
from dreamvla_edge.runtime.manifest import SamplerSpec
from dreamvla_edge.runtime.policy import ACTION_VALUES, Policy

from .data import Moment

LARGEST_SHARE = 0.2
"""Of what another noise seed changes: more than that, in error or in flips, is not accepted."""
_WORST = 5
Actions = NDArray[np.float64]


class Likeness(NamedTuple):
    """How the first actions of a bundle differ from another's at equal noise.

    frames; error: mean of |d| over arm values; spread: the same between two noise seeds of the
    other; flips, seed_flips: shares of decisions in which the gripper does something else; worst:
    frames with the largest error.
    """

    frames: int
    error: float
    spread: float
    flips: float
    seed_flips: float
    worst: tuple[int, ...]

    @property
    def error_share(self) -> float:
        """The error in units of the spread between noise seeds."""
        return self.error / max(self.spread, 1e-12)

    @property
    def passed(self) -> bool:
        """Whether both are small against what the noise does anyway; NaN never is."""
        flips = self.flips <= LARGEST_SHARE * self.seed_flips
        return self.error_share <= LARGEST_SHARE and flips


def decisions(
    bundle: Bundle,
    data: Sequence[Moment],
    seed: int,
    keep: bool = False,
    backend: str | Backend = "onnxruntime",
    sampler: SamplerSpec | None = None,
) -> Actions:
    """First actions (n, 7) on all moments; keep: one noise for each episode.

    sampler: instead of the bundle's own.
    """
    random, found = np.random.default_rng(seed), []
    shape = (bundle.manifest.network.action_steps, ACTION_VALUES)
    with Policy(bundle, backend, sampler=sampler) as policy:
        for number, moment in enumerate(data):
            begins = moment.first or not number
            if begins:
                policy.reset(moment.instruction)
            if begins or not keep:
                noise = random.standard_normal(shape, np.float32)
            chunk = policy.act(moment.primary, moment.wrist, moment.state, noise)
            found.append(chunk.actions[0])
    return np.array(found, np.float64)


def likeness(mine: Actions, wanted: Actions, seeded: Actions, threshold: float) -> Likeness:
    """Of decisions to those wanted at the same noise; seeded: the latter at another noise.

    threshold: of the gripper's number.
    """
    far = np.abs(mine - wanted)[:, :6].mean(1)
    upper, wanted_upper, seeded_upper = (a[:, 6] > threshold for a in (mine, wanted, seeded))
    return Likeness(
        frames=len(mine),
        error=float(far.mean()),
        spread=float(np.abs(seeded - wanted)[:, :6].mean()),
        flips=float(np.mean(upper != wanted_upper)),
        seed_flips=float(np.mean(seeded_upper != wanted_upper)),
        worst=tuple(int(i) for i in np.argsort(far)[::-1][:_WORST]),
    )


def compared(made: Bundle, other: Bundle, data: Sequence[Moment]) -> Likeness:
    """A bundle with the one that it was made from, on the same moments."""
    sampler = made.manifest.sampler
    keep = sampler is not None and sampler.warm_sweeps is not None
    mine, wanted = (decisions(bundle, data, 1, keep) for bundle in (made, other))
    seeded = decisions(other, data, 2, keep)
    return likeness(mine, wanted, seeded, threshold_of(other))


def threshold_of(bundle: Bundle) -> float:
    """Above it the gripper's number means the upper command."""
    return bundle.manifest.specification.action.gripper.threshold
