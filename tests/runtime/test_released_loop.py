"""A policy streams as the released loop does, with every variant of the network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from bundles import Bundles
from dreamvla_edge.model.released import ReleasedLoop
from dreamvla_edge.runtime.bundle import Bundle
from dreamvla_edge.runtime.policy import Policy
from dreamvla_edge.runtime.window import Frame, Window
from golden_cases import Golden
from released_loop import chunk_errors, released_loop

TOLERANCE = 1e-5
"""Of a chunk's largest magnitude: what float32 implementations of two layers agree to."""
FULL_TOLERANCE = 1e-4
"""… and of 24 layers."""

COMPARED = {
    "goal_small": (0, 1, 5, 6, 8, 9, 10, 12),
    "only_obs_small": (0, 5, 9, 10, 12),
    "mlp_head_small": range(13),
    "shared_query_small": (0, 5, 9, 10, 12),
    "all_dreams_small": (0, 5, 9, 10, 12),
}
"""Steps: a window of ten fills and slides three times; goals are looked for four slots ahead.

`calvin_small` and `libero_small` play the golden episodes."""


OFTEN = ("goal_small", "mlp_head_small")
"""Those of `make test`: the only one whose past reads ahead, and the only one without noise."""


@pytest.mark.parametrize(
    "name", [n if n in OFTEN else pytest.param(n, marks=pytest.mark.slow) for n in COMPARED]
)
def test_every_variant(
    name: str, golden: Golden, bundle: Callable[[str], Bundle], bundles: Bundles
) -> None:
    """Filling and sliding; dreaming in between disturbs no action that follows.

    While the window fills, the loop pads it with copies of the newest observation, which goal
    attention reads.
    """
    loop = released_loop(bundles.network(name))
    with Policy(bundle(name)) as policy:
        errors = chunk_errors(policy, loop, golden, name, COMPARED[name])
    assert list(errors) == list(COMPARED[name])
    assert {step: e for step, e in errors.items() if not e <= TOLERANCE} == {}


def padded_with_nothing(window: Window, _: object) -> list[Frame]:
    """Slots after the newest stay empty."""
    return []


def padded_with_the_oldest(window: Window, _: object) -> list[Frame]:
    """Slots after the newest hold copies of the first observation."""
    slots = min(window.spec.slots_ahead, window.spec.window - window.slots)
    return [window._frames[0]] * slots


@pytest.mark.parametrize("padded", [padded_with_nothing, padded_with_the_oldest])
def test_goal_attention_with_other_padding(
    padded: Callable[..., list[Frame]],
    golden: Golden,
    bundle: Callable[[str], Bundle],
    bundles: Bundles,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The loop's copies of the newest observation can be told from anything else."""
    monkeypatch.setattr(Window, "_later", padded)
    loop = released_loop(bundles.network("goal_small"))
    with Policy(bundle("goal_small")) as policy:
        errors = chunk_errors(policy, loop, golden, "goal_small", (1,))
    assert errors[1] > 10 * TOLERANCE


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_full_size(golden: Golden, bundle: Callable[[str], Bundle], bundles: Bundles) -> None:
    """The released CALVIN network, 12 steps."""
    loop = released_loop(bundles.network("calvin"))
    with Policy(bundle("calvin")) as policy:
        errors = chunk_errors(policy, loop, golden, "calvin", range(12))
    assert len(errors) == 12
    assert {step: e for step, e in errors.items() if not e <= FULL_TOLERANCE} == {}


def test_looking_up_changes_no_number(golden: Golden, bundles: Bundles) -> None:
    """The loop with its memory gives what the loop without it gives."""
    raw = golden.observations("libero_small")
    network = bundles.network("libero_small")
    tokens = torch.from_numpy(raw["text_token"][0, 0])
    pairs = torch.from_numpy(np.stack([raw["image_primary"][0], raw["image_wrist"][0]], 1))
    states, noise = torch.from_numpy(raw["state"][0]), torch.from_numpy(raw["noise"])
    loops = ReleasedLoop(network), released_loop(bundles.network("libero_small"))
    one, other = (loop.act(tokens, pairs[0], states[0], noise) for loop in loops)
    assert float((one - other).abs().max()) <= TOLERANCE * float(one.abs().max())
