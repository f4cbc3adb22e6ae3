"""A policy streams as the released evaluation does: 25 golden steps from raw frames and text.

They fill the window, slide it, and at step 15 start again with another instruction.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from dreamvla_edge.runtime.bundle import Bundle
from dreamvla_edge.runtime.policy import Policy
from episodes import EPISODES, TOLERANCE, Episode, played, released, right_actions, wrong_steps
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


def test_a_second_episode_does_not_remember_the_first(
    golden: Golden, bundle: Callable[[str], Bundle]
) -> None:
    """The same policy plays the episode again with the same result, bit for bit."""
    with Policy(bundle("libero_small")) as policy:
        first = played(policy, golden, "libero", 9)
        second = played(policy, golden, "libero", 9)
    np.testing.assert_array_equal(first.chunks, second.chunks)


# The comparison itself


def test_few_executed_actions_have_a_choice(golden: Golden) -> None:
    """Of the float16 values of the golden episode nine in ten are pinned to one value."""
    expected = released(golden, "calvin")
    slack = TOLERANCE * np.abs(expected.chunks).max(axis=(1, 2))[:, None]
    value = expected.chunks[:, 0, :6]
    low, high = ((value + sign * slack).astype(np.float16) for sign in (-1, 1))
    assert np.mean(low == high) > 0.9
    assert np.all(low <= expected.actions[:, :6]) and np.all(expected.actions[:, :6] <= high)


@pytest.mark.parametrize("data_set", EPISODES)
@pytest.mark.parametrize("array", Episode._fields)
def test_one_number_off_is_seen(array: str, data_set: str, golden: Golden) -> None:
    """In any array, at the step where it is, also as NaN."""
    expected = released(golden, data_set)
    float16 = data_set == "calvin"
    assert wrong_steps(expected, expected, float16) == {}
    for value in (1.001, np.nan):
        changed = getattr(expected, array).copy()
        if array == "tokens" and np.isnan(value):
            continue
        changed[7].reshape(-1)[0] *= value
        changed[7].reshape(-1)[0] += 1
        found = expected._replace(**{array: changed})
        assert wrong_steps(found, expected, float16) == {array: [7]}


def test_a_float16_off_by_one_place_is_seen(golden: Golden) -> None:
    """Where the chunk lies away from a rounding boundary, the neighbour is wrong."""
    expected = released(golden, "calvin")
    slack = TOLERANCE * np.abs(expected.chunks).max(axis=(1, 2))
    neighbour = expected.actions.copy()
    upwards = np.nextafter(neighbour[:, 0].astype(np.float16), np.float16(np.inf))
    neighbour[:, 0] = upwards
    # A boundary lies half a place away; few values are within the slack of it.
    assert right_actions(neighbour, expected, slack, True).mean() < 0.1
    neighbour[:, 0] = np.nextafter(upwards, np.float16(np.inf))
    assert not right_actions(neighbour, expected, slack, True).any()
