"""Whether a changed bundle still does the tasks that the one it was made from does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from dreamvla_edge.runtime.bundle import Bundle, sha256
from dreamvla_edge.runtime.manifest import MANIFEST_NAME

from .evaluation import SCENE, Asked, Candidate, Log, evaluate
from .loss import require_able, require_kept
from .summary import Done, comparison


def compared(
    made: Bundle,
    opened: Bundle,
    asked: Sequence[Asked],
    folder: Path,
    workers: int,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    """The success of `made` less that of `opened`, as `summary.comparison`, and in which world.

    asked: trials of one world, by the policy. folder: keeps them, those of each bundle by the hash
    of its manifest, so that what was stopped goes on there and `opened` is not played again for
    another `made`. It is played first. Raises AcceptanceError if it does too little there.
    """
    before = _played(opened, "the bundle", asked, folder, workers, progress)
    require_able([trial.success for trial in before.values()], _where(asked[0].world))
    after = _played(made, "the new bundle", asked, folder, workers, progress)
    return {"world": asked[0].world, **comparison(after, before)}


def require_accepted(found: dict[str, Any]) -> None:
    """Raises AcceptanceError if what `compared` found may be too much of a loss."""
    require_kept(found, _where(found["world"]))


def _where(world: str) -> str:
    return "in the scene" if world == SCENE else f"in {world}"


def _played(
    bundle: Bundle,
    name: str,
    asked: Sequence[Asked],
    folder: Path,
    workers: int,
    progress: Callable[[str], None],
) -> Done:
    """What was asked and nothing else, also where the log holds more."""
    with Log(folder / sha256(bundle.file(MANIFEST_NAME))[:12], motions=False) as log:

        def tell(done: int, of: int) -> None:
            successes = sum(log.done[one].success for one in asked if one in log.done)
            progress(f"{name}: {done} of {of} trials, {successes} successes")

        evaluate(Candidate(bundle.path), asked, log, workers, tell)
    return {one: log.done[one] for one in asked}
