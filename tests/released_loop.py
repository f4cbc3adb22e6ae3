"""The released loop on golden episodes, for policies to be compared with.

It is the PyTorch network with all tokens of all slots and nothing cached; only images and texts
that it has seen before are looked up, which changes no number and saves most of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dreamvla_edge.model.network import DreamVLA
from dreamvla_edge.model.released import ReleasedLoop
from dreamvla_edge.runtime.policy import Policy
from golden_cases import Golden


def remembering(function: Callable[[Tensor], Any]) -> Callable[[Tensor], Any]:
    """A function of rows that computes each row once; its outputs are a tensor or a tuple."""
    known: dict[bytes, tuple[Tensor, ...]] = {}

    def look_up(rows: Tensor) -> Any:
        found = []
        for row in rows:
            key = row.numpy().tobytes()
            if key not in known:
                outputs = function(row[None])
                known[key] = outputs if isinstance(outputs, tuple) else (outputs,)
            found.append(known[key])
        parts = tuple(torch.cat(part) for part in zip(*found, strict=True))
        return parts if len(parts) > 1 else parts[0]

    return look_up


def released_loop(network: DreamVLA) -> ReleasedLoop:
    """The loop, which remembers what images and texts look like to the towers."""
    network.see = remembering(network.see)  # type: ignore[method-assign]
    network.text = remembering(network.text)  # type: ignore[method-assign]
    return ReleasedLoop(network)


def chunk_errors(
    policy: Policy, loop: ReleasedLoop, golden: Golden, name: str, compared: Collection[int]
) -> dict[int, float]:
    """By step: the largest difference of both chunks over the loop's largest magnitude.

    compared: the steps at which the loop acts; at others it only takes the observation, which
    saves its work. The policy acts at all of them and dreams after every second one.
    """
    episode = golden.episode("libero" if golden.case(name)["gripper_width"] else "calvin")
    errors, last = {}, golden.case(name)["sequence_length"] - 1
    policy.reset(episode[0].instruction)
    tokens = torch.from_numpy(policy.tokens(episode[0].instruction)[0]).long()
    for number, step in enumerate(episode[: max(compared) + 1]):
        noise = golden.episode_noise(name, number)
        chunk = policy.act(step.primary, step.wrist, step.state, noise[min(number, last)])
        images = torch.from_numpy(policy.images(step.primary, step.wrist))
        state = torch.from_numpy(step.state)
        if number in compared:
            expected = loop.act(tokens, images, state, torch.from_numpy(noise)).numpy()
            errors[number] = float(np.abs(chunk.actions - expected).max() / np.abs(expected).max())
        else:
            loop._observations.append((tokens, images, state))
        if number % 2:
            assert set(policy.dream()) == {head.name for head in loop.network.config.dreams}
    return errors
