"""Chunks become the actions that the released evaluation executed."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from dreamvla_edge.export.data_set import load_data_set
from dreamvla_edge.runtime.chunk import ACTION_USES, ActionError, action_use
from dreamvla_edge.runtime.specification import ActionSpecification
from golden_cases import Golden

CALVIN = load_data_set("calvin").specification.action
LIBERO = load_data_set("libero").specification.action
RELEASED = {"calvin": CALVIN, "libero": LIBERO}


def executed(golden: Golden, specification: ActionSpecification, episode: str) -> np.ndarray:
    """Actions (25, 7) from the golden chunks of an episode."""
    use, actions = action_use(specification), []
    for step, chunk in enumerate(golden.outputs(episode)["chunks"]):
        if step == golden.reset_step:
            use.reset()
        actions.append(use.use(chunk))
    return np.stack(actions)


@pytest.mark.parametrize("data_set", RELEASED)
def test_actions_are_bit_equal_to_the_released_ones(golden: Golden, data_set: str) -> None:
    """From the released chunks, over a reset."""
    episode = f"episode_{data_set}_small"
    actions = executed(golden, RELEASED[data_set], episode)
    assert actions.dtype == np.float32
    np.testing.assert_array_equal(actions, golden.outputs(episode)["actions"])


@pytest.mark.parametrize(
    ("data_set", "bug"),
    [
        ("calvin", replace(CALVIN, round_to_float16=False)),
        ("calvin", replace(CALVIN, chunk="ensemble")),
        ("calvin", replace(CALVIN, gripper=replace(CALVIN.gripper, threshold=0.0))),
        ("libero", replace(LIBERO, ensemble_decay=0.0)),
        ("libero", replace(LIBERO, ensemble_decay=0.02)),
        ("libero", replace(LIBERO, chunk="first")),
        ("libero", replace(LIBERO, round_to_float16=True)),
    ],
)
def test_the_golden_episodes_tell_every_option_apart(
    golden: Golden, data_set: str, bug: ActionSpecification
) -> None:
    """The test above can fail: each wrong option changes an action."""
    episode = f"episode_{data_set}_small"
    actions = executed(golden, bug, episode)
    assert not np.array_equal(actions, golden.outputs(episode)["actions"])


def test_without_a_reset_the_ensemble_mixes_two_episodes(golden: Golden) -> None:
    """`reset` is what separates them: steps 15 and 16 differ without it, all others do not."""
    outputs, use = golden.outputs("episode_libero_small"), action_use(LIBERO)
    actions = np.stack([use.use(chunk) for chunk in outputs["chunks"]])
    differ = np.any(actions != outputs["actions"], axis=1)
    assert np.flatnonzero(differ).tolist() == [golden.reset_step, golden.reset_step + 1]


def test_the_oldest_prediction_weighs_most() -> None:
    """With decay 0.5 and predictions 1, 2, 3, the oldest first."""
    use = action_use(replace(LIBERO, ensemble_decay=0.5))
    for value in (1.0, 2.0, 3.0):
        action = use.use(np.full((3, 7), value, np.float32))
    weights = np.exp([0.0, -0.5, -1.0])
    np.testing.assert_allclose(action[:6], weights @ [1, 2, 3] / weights.sum(), rtol=1e-7)


def test_a_prediction_with_an_exact_zero_counts_as_absent() -> None:
    """As in the released code, where zero marks a prediction that was never made."""
    use = action_use(LIBERO)
    older = np.full((3, 7), 4.0, np.float32)
    older[1, 2] = 0.0
    use.use(older)
    np.testing.assert_array_equal(use.use(np.ones((3, 7), np.float32)), np.ones(7))


def test_the_gripper_is_not_opened_because_a_number_is_zero() -> None:
    """When every prediction holds a zero they are averaged, not replaced by zeros."""
    chunk = np.full((3, 7), 0.8, np.float32)
    chunk[:, 5] = 0.0
    action = action_use(LIBERO).use(chunk)
    np.testing.assert_array_equal(action, np.float32([0.8, 0.8, 0.8, 0.8, 0.8, 0.0, 1.0]))


@pytest.mark.parametrize("chunk", ACTION_USES)
def test_the_gripper_is_lower_at_the_threshold(chunk: str) -> None:
    """Upper means above it."""
    use = action_use(replace(LIBERO, chunk=chunk))  # type: ignore[arg-type]
    values = np.full((1, 7), 0.5, np.float32)
    assert use.use(values)[6] == -1
    values[0, 6] = np.nextafter(np.float32(0.5), np.float32(1))
    assert use.use(values)[6] == 1


@pytest.mark.parametrize("specification", RELEASED.values(), ids=RELEASED)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_chunk_that_is_not_finite_is_refused(
    specification: ActionSpecification, bad: float
) -> None:
    """Wherever it stands, and later chunks are not poisoned by it."""
    use = action_use(specification)
    for row, column in ((0, 0), (2, 3), (1, 6)):
        chunk = np.ones((3, 7), np.float32)
        chunk[row, column] = bad
        with pytest.raises(ActionError, match="1 NaN or infinite"):
            use.use(chunk)
    np.testing.assert_array_equal(use.use(np.ones((3, 7), np.float32)), np.ones(7))


def test_an_action_that_float16_cannot_hold_is_refused() -> None:
    """It would become infinite on the way to the arm."""
    with pytest.raises(ActionError, match="NaN or infinite"):
        action_use(CALVIN).use(np.full((3, 7), 7e4, np.float32))


@pytest.mark.parametrize("shape", [(7,), (0, 7), (3, 6), (1, 3, 7)])
def test_a_chunk_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    """The message names the shape found."""
    with pytest.raises(ActionError) as caught:
        action_use(LIBERO).use(np.ones(shape, np.float32))
    assert str(shape) in caught.value.found


def test_the_ensemble_keeps_no_view_of_the_callers_array() -> None:
    """Back ends may reuse their output buffers."""
    use, buffer = action_use(LIBERO), np.ones((3, 7), np.float32)
    use.use(buffer)
    buffer[:] = 5
    action = use.use(buffer)
    assert 1 < action[0] < 3.1
