"""How much success a changed bundle may lose, and whether that much could be seen at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dreamvla_edge.runtime.errors import AcceptanceError

from .statistics import wilson

LARGEST_LOSS = 0.05
"""As a share of all trials; with 95 % a changed bundle loses less."""


def require_able(outcomes: Sequence[bool], where: str) -> None:
    """Raises AcceptanceError where the unchanged bundle does too little to lose LARGEST_LOSS.

    outcomes: of its trials. One that never succeeds cannot lose, whatever it is changed to: the
    lower end of the 95 % interval (`wilson`) must be above LARGEST_LOSS. where: as in "in the
    scene".
    """
    share = wilson(sum(outcomes), len(outcomes))
    if not share.low > LARGEST_LOSS:
        raise AcceptanceError(
            f"the bundle itself did {sum(outcomes)} of {len(outcomes)} {where}, with 95 % not"
            f" below {100 * share.low:.1f} %",
            f"more than {100 * LARGEST_LOSS:g} %: what never succeeds cannot lose"
            f" {100 * LARGEST_LOSS:g} points",
            "judge it where it can do its tasks: --accept sim with the suite that it learnt"
            " (--libero SUITE), --accept robot with another instruction; or --accept data",
        )


def require_kept(found: Mapping[str, float], where: str) -> None:
    """Raises AcceptanceError unless the changed bundle loses less than LARGEST_LOSS, with 95 %.

    found: episodes, difference, at_least, as in `summary.comparison`; NaN is refused.
    """
    if not found["at_least"] > -LARGEST_LOSS:
        raise AcceptanceError(
            f"{where} the new bundle may lose {-100 * found['at_least']:.1f} points"
            f" ({100 * found['difference']:+.1f} in {found['episodes']} trials)",
            f"with 95 % less than {100 * LARGEST_LOSS:g}",
            "keep more layers, take more steps of the sampler, or give --accept none; on a robot"
            " more trials (--trials) tell more exactly",
        )
