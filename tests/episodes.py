"""The golden episodes of the released evaluation, played by a policy. Needs NumPy only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dreamvla_edge.runtime.chunk import action_use
from dreamvla_edge.runtime.policy import Policy
from golden_cases import Golden

TOLERANCE = 1e-5
"""Of an output's largest magnitude: what float32 implementations agree to (golden/README.md)."""

EPISODES = {"calvin": "calvin_small", "libero": "libero_small"}
"""Data set of each golden episode, and the case whose network played it."""


class Episode(NamedTuple):
    """25 steps: tokens (25, 77), images (25, 2, 3, 14, 14), chunks (25, P, 7), actions (25, 7)."""

    tokens: np.ndarray
    preprocessed: np.ndarray
    chunks: np.ndarray
    actions: np.ndarray


def released(golden: Golden, data_set: str) -> Episode:
    """What the released code did."""
    return Episode(**golden.outputs(f"episode_{EPISODES[data_set]}"))


def played(policy: Policy, golden: Golden, data_set: str, steps: int = 25) -> Episode:
    """What a policy does with the same raw observations and the same noise.

    The released loop draws noise for every slot; the row of the slot that is read counts.
    """
    case = EPISODES[data_set]
    window = golden.case(case)["sequence_length"]
    use = action_use(policy.bundle.manifest.specification.action)
    tokens, images, chunks, actions = [], [], [], []
    for number, step in enumerate(golden.episode(data_set)[:steps]):
        first = golden.reset_step if number >= golden.reset_step else 0
        if number == first:
            policy.reset(step.instruction)
            use.reset()
        noise = golden.episode_noise(case, number)[min(number - first, window - 1)]
        chunk = policy.act(step.primary, step.wrist, step.state, noise)
        tokens.append(policy.tokens(step.instruction)[0])
        images.append(policy.images(step.primary, step.wrist)[..., ::16, ::16])
        chunks.append(chunk.actions)
        actions.append(use.use(chunk.actions))
    return Episode(*map(np.stack, (tokens, images, chunks, actions)))


def wrong_steps(found: Episode, expected: Episode, float16: bool) -> dict[str, list[int]]:
    """For each array the steps that differ by more than the tolerance; {} if all is well.

    Tokens and images must be equal bit for bit. float16: executed actions were rounded to it.
    """
    expected = Episode(*(part[: len(found.chunks)] for part in expected))
    slack = TOLERANCE * np.abs(expected.chunks).max(axis=(1, 2))  # (n,) of each step's chunk
    right = {
        "tokens": np.all(found.tokens == expected.tokens, axis=1),
        "preprocessed": np.all(found.preprocessed == expected.preprocessed, axis=(1, 2, 3, 4)),
        "chunks": np.abs(found.chunks - expected.chunks).max(axis=(1, 2)) <= slack,
        "actions": right_actions(found, expected, slack, float16),
    }
    wrong = {name: np.flatnonzero(~steps).tolist() for name, steps in right.items()}
    return {name: steps for name, steps in wrong.items() if steps}


def right_actions(
    found: Episode, expected: Episode, slack: np.ndarray, float16: bool
) -> np.ndarray:
    """Which steps' executed actions are right: bool (n). The gripper must be equal.

    slack (n): what predictions may differ by, and so their averages. Values that were rounded to
    float16 are equal, unless a boundary of rounding lies between our chunk's value, if that is
    right, and the released one; then they lie between the two roundings.
    """
    arm = found.actions[:, :6]
    if float16:
        theirs, slack = expected.chunks[:, 0, :6], slack[:, None]
        ours = np.clip(found.chunks[:, 0, :6], theirs - slack, theirs + slack)
        low, high = (end(ours, theirs).astype(np.float16) for end in (np.minimum, np.maximum))
        inside = (low <= arm) & (arm <= high)
    else:
        inside = np.abs(arm - expected.actions[:, :6]) <= slack.max()
    return np.all(inside, axis=1) & (found.actions[:, 6] == expected.actions[:, 6])
