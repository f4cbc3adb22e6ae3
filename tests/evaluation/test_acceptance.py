"""Whether a changed bundle is accepted by what it does, and that no trial is played twice."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import pytest

from dreamvla_edge.demo import BUNDLE
from dreamvla_edge.runtime.bundle import Bundle, open_bundle
from dreamvla_edge.runtime.errors import AcceptanceError
from dreamvla_edge.runtime.manifest import MANIFEST_NAME
from dreamvla_edge.sim.evaluation.acceptance import compared, require_accepted
from dreamvla_edge.sim.evaluation.evaluation import TRIALS, Asked
from dreamvla_edge.sim.evaluation.loss import LARGEST_LOSS, require_able
from dreamvla_edge.sim.scene.layout import TRAINING
from kept_trials import lines, place_of, played_before

ASKED = [Asked("touch", seed) for seed in range(TRAINING, TRAINING + 60)]
"""So many that, where all succeed, 5 points are seen; the family that is soonest done."""


@pytest.fixture
def shipped() -> Bundle:
    """The demo's, which touches what it is told to."""
    return open_bundle(BUNDLE)


@pytest.fixture
def same(shipped: Bundle, tmp_path: Path) -> Bundle:
    """Acts like the demo's, and is another bundle."""
    copy = tmp_path / "same"
    shutil.copytree(shipped.path, copy)
    manifest = json.loads((copy / MANIFEST_NAME).read_text())
    (copy / MANIFEST_NAME).write_text(json.dumps(manifest | {"name": "same"}))
    return open_bundle(copy)


def test_it_is_gone_on_with_and_passes(shipped: Bundle, same: Bundle, tmp_path: Path) -> None:
    """Stopped after the first of four real trials; each is played once, and only they count."""
    folder, told = tmp_path / "trials", []
    others = [Asked("libero_spatial/0", seed) for seed in range(60)] + [Asked("lift", TRAINING)]
    for bundle, end in ((shipped, "done"), (same, "time")):
        played_before(bundle, folder, ASKED[2:])
        played_before(bundle, folder, others, end)  # of another world or of other seeds

    def stop(line: str) -> None:
        told.append(line)
        if len(told) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compared(same, shipped, ASKED, folder, 1, stop)
    assert lines(shipped, folder) == [*ASKED[2:], *others, ASKED[0]]
    found = compared(same, shipped, ASKED, folder, 1, stop)
    assert lines(shipped, folder) == [*ASKED[2:], *others, *ASKED[:2]]
    assert lines(same, folder) == [*ASKED[2:], *others, *ASKED[:2]]
    assert told == [
        "the bundle: 59 of 60 trials, 59 successes",
        "the bundle: 60 of 60 trials, 60 successes",
        "the new bundle: 59 of 60 trials, 59 successes",
        "the new bundle: 60 of 60 trials, 60 successes",
    ]
    assert (found["world"], found["episodes"], found["difference"]) == ("scene", 60, 0)
    assert (found["better"], found["worse"]) == (0, 0) and found["at_least"] > -LARGEST_LOSS
    require_accepted(found)
    # Once more: nothing is played, and it is the same.
    assert compared(same, shipped, ASKED, folder, 1, stop) == found and len(told) == 4


def test_what_never_succeeds_accepts_nothing(shipped: Bundle, same: Bundle, tmp_path: Path) -> None:
    """However alike the other one is, which is not even played."""
    folder = tmp_path / "trials"
    played_before(shipped, folder, ASKED, "time")
    with pytest.raises(AcceptanceError, match="itself did 0 of 60 in the scene"):
        compared(same, shipped, ASKED, folder, 1, print)
    assert not place_of(same, folder).exists()


def test_a_loss_is_refused(shipped: Bundle, same: Bundle, tmp_path: Path) -> None:
    """One more failure than above."""
    folder = tmp_path / "trials"
    played_before(shipped, folder, ASKED)
    played_before(same, folder, ASKED[1:])
    played_before(same, folder, ASKED[:1], "time")
    found = compared(same, shipped, ASKED, folder, 1, print)
    assert (found["worse"], found["better"]) == (1, 0)
    with pytest.raises(AcceptanceError, match="in the scene the new bundle may lose"):
        require_accepted(found)
    with pytest.raises(AcceptanceError):
        require_accepted({**found, "at_least": float("nan")})


@pytest.mark.slow
def test_one_that_did_not_learn_is_refused(
    shipped: Bundle, untrained: Path, tmp_path: Path
) -> None:
    """By real failures of it, which leave no motion: in LIBERO those would be gigabytes."""
    made, folder = open_bundle(untrained), tmp_path / "trials"
    played_before(shipped, folder, ASKED)
    played_before(made, folder, ASKED[2:])
    found = compared(made, shipped, ASKED, folder, 1, print)
    assert lines(made, folder) == [*ASKED[2:], *ASKED[:2]] and found["worse"] == 2
    assert [path.name for path in place_of(made, folder).iterdir()] == [TRIALS]
    with pytest.raises(AcceptanceError, match="in the scene the new bundle may lose"):
        require_accepted(found)


@pytest.mark.parametrize("count", [1, 40, 400])
def test_how_often_the_unchanged_bundle_must_succeed(count: int) -> None:
    """As often as one that does 5 % of all hardly ever would, by the score test's closed form."""
    need = math.ceil(count * (0.05 + 1.96 * math.sqrt(0.05 * 0.95 / count)))
    require_able([True] * need + [False] * (count - need), "anywhere")
    with pytest.raises(AcceptanceError, match=f"did {need - 1} of {count} anywhere"):
        require_able([True] * (need - 1) + [False] * (count - need + 1), "anywhere")
