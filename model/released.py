"""The released evaluation loop: the baseline for parity and speed.

At every step it encodes all 2·S images and S copies of the instruction, runs every token of every
slot and samples the actions of all S slots, of which one is used. Nothing is cached. It is here
to be compared with, not to be deployed.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import torch
from torch import Tensor

from .mask import step_kinds
from .network import CAMERAS, DreamVLA
from .schedule import ddim


class WindowOutputs(NamedTuple):
    """What one pass over a window computes; slot-wise tensors start with S.

    actions (S, P, 7); action_features (S, P, D); dream_features (S, Q, D); text (S, D);
    cls and resampled: per camera (S, W) and (S, R, W), before the projectors.
    """

    actions: Tensor
    action_features: Tensor
    dream_features: Tensor
    text: Tensor
    cls: dict[str, Tensor]
    resampled: dict[str, Tensor]


@torch.inference_mode()
def run_window(
    network: DreamVLA, tokens: Tensor, images: dict[str, Tensor], states: Tensor, noise: Tensor
) -> WindowOutputs:
    """The released computation for one full window.

    tokens (S, 77); images: per camera (S, 3, h, w), normalised; states (S, 7 or 8);
    noise (S, P, 7).
    """
    config = network.config
    text = network.text(tokens)
    seen = {camera: network.see(images[camera]) for camera in CAMERAS}
    projected = [network.project(*seen[camera], camera) for camera in CAMERAS]
    vision = torch.cat([rows for _, rows in projected] + [cls for cls, _ in projected], 1)
    features = network.window(text, states, vision)
    dream_start = step_kinds(config).index(3) if config.dream_rows else config.context_rows
    action_features = features[:, -config.action_steps :]
    return WindowOutputs(
        _actions(network, action_features, noise),
        action_features,
        features[:, dream_start : -config.action_steps],
        text,
        {camera: cls for camera, (cls, _) in seen.items()},
        {camera: rows for camera, (_, rows) in seen.items()},
    )


def _actions(network: DreamVLA, features: Tensor, noise: Tensor) -> Tensor:
    if network.config.action_head == "mlp":
        return network.mlp_action(features)
    net, guidance = network.action_model.net, network.config.guidance
    steps = network.config.sampler_steps
    return ddim(noise, lambda x, t: net.guided(x, t, features, guidance), steps)


class ReleasedLoop:
    """Steps through an episode as the released evaluation does.

    A window that is not full yet is padded with copies of the newest observation, and the
    prediction of the newest real slot is read.
    """

    def __init__(self, network: DreamVLA) -> None:
        self.network = network
        self._observations: deque[tuple[Tensor, Tensor, Tensor]] = deque(
            maxlen=network.config.window
        )

    def reset(self) -> None:
        """Forget all observations."""
        self._observations.clear()

    def observe(self, tokens: Tensor, images: Tensor, state: Tensor) -> None:
        """Take an observation without acting on it; arguments as in `act`."""
        self._observations.append((tokens, images, state))

    def act(self, tokens: Tensor, images: Tensor, state: Tensor, noise: Tensor) -> Tensor:
        """Chunk (P, 7) for the newest observation.

        tokens (77); images (2, 3, h, w) primary and wrist, normalised; state (7 or 8);
        noise (S, P, 7): each slot has its own, only the read slot's matters.
        """
        self.observe(tokens, images, state)
        count = len(self._observations)
        padded = [*self._observations] + [self._observations[-1]] * (
            self.network.config.window - count
        )
        all_tokens, all_images, states = (torch.stack(part) for part in zip(*padded, strict=True))
        cameras = {camera: all_images[:, i] for i, camera in enumerate(CAMERAS)}
        outputs = run_window(self.network, all_tokens, cameras, states, noise)
        return outputs.actions[count - 1]
