"""A policy streams as the released evaluation does: 25 golden steps from raw frames and text.

They fill the window, slide it, and at step 15 start again with another instruction.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dreamvla_edge.runtime.bundle import Bundle
from dreamvla_edge.runtime.policy import Policy
from episodes import EPISODES, Episode, played, released, wrong_steps
from golden_cases import Golden


@pytest.mark.parametrize("data_set", EPISODES)
def test_every_step_is_the_released_one(
    data_set: str, golden: Golden, bundle: Callable[[str], Bundle]
) -> None:
    """Tokens, preprocessed samples, chunks and executed actions."""
    expected = released(golden, data_set)
    with Policy(bundle(EPISODES[data_set])) as policy:
        found = played(policy, golden, data_set)
        float16 = policy.bundle.manifest.specification.action.round_to_float16
    assert float16 == (data_set == "calvin")
    assert len(found.chunks) == 25
    assert wrong_steps(found, expected, float16) == {}


# The comparison itself


@pytest.mark.parametrize("data_set", EPISODES)
@pytest.mark.parametrize("array", Episode._fields)
def test_one_number_off_is_seen(array: str, data_set: str, golden: Golden) -> None:
    """In any array, at the step where it is, also as NaN."""
    expected = released(golden, data_set)
    float16 = data_set == "calvin"
    assert wrong_steps(expected, expected, float16) == {}
    for off in (1,) if array == "tokens" else (1e-3, np.nan):
        changed = getattr(expected, array).copy()
        changed[7].reshape(-1)[-1] += off
        found = expected._replace(**{array: changed})
        assert wrong_steps(found, expected, float16) == {array: [7]}


def test_a_float16_off_by_one_place_is_seen(golden: Golden) -> None:
    """The neighbour is wrong, unless the two chunks lie on both sides of the boundary to it."""
    expected = released(golden, "calvin")
    actions, chunks = expected.actions.copy(), expected.chunks.copy()
    here = actions[7, 0].astype(np.float16)
    there = np.nextafter(here, np.float16(np.inf))
    actions[7, 0] = there
    found = expected._replace(actions=actions)
    assert wrong_steps(found, expected, True) == {"actions": [7]}
    boundary = (np.float32(here) + np.float32(there)) / 2
    chunks[7, 0, 0] = boundary - 1e-6
    on_one_side = expected._replace(chunks=chunks.copy())
    chunks[7, 0, 0] = boundary + 1e-6
    on_the_other = found._replace(chunks=chunks)
    assert wrong_steps(on_the_other, on_one_side, True) == {}
