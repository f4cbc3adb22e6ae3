"""Pointing before acting: the backbone learns which thing is meant, and where that is.

Which block an instruction is about must be taken from the words, and where it is from the token of
that block: two steps of attention, of which neither helps without the other. Actions alone teach
that so slowly that a network does the right motion on any block. Here a linear layer reads from
each step's action queries where the thing that was asked for is, in the base's frame and in the
tool's, whatever the arm is about. It is thrown away afterwards. All runs of a comparison begin with
the same weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from dreamvla_edge.model.losses import Windows, features_of
from dreamvla_edge.model.network import DreamVLA
from dreamvla_edge.runtime.recording.frames import ROLES

from .batch import Batches
from .examples import Examples
from .words import Sentences, landmarks

_VALUES = 3
_UNIT_M = 0.02
"""An error that costs half."""


class Pointing(nn.Module):
    """A network with eyes and words that had their lessons, and what reads its action queries."""

    def __init__(self, network: DreamVLA) -> None:
        super().__init__()
        self.network = network
        self.read_places = nn.Linear(network.config.backbone.width, len(ROLES) * _VALUES)

    def losses(self, windows: Windows, places: Tensor) -> dict[str, Tensor]:
        """Of windows and places (B, S, 2, 3) [m] of what they ask for, NaN where it is not seen.

        `primary_mm` and `wrist_mm`: mean errors, which have no weight.
        """
        steps = self.network.config.action_steps
        features = features_of(self.network, windows)[:, :, -steps:]
        read = self.read_places(features).float().unflatten(-1, (len(ROLES), _VALUES))
        seen = ~places.isnan()[:, :, None].expand_as(read)
        wrong = (read - (places.nan_to_num() / _UNIT_M)[:, :, None]) * seen
        smooth = nn.functional.smooth_l1_loss(wrong, torch.zeros_like(wrong), reduction="sum")
        found = {"loss": smooth / seen.sum().clamp(min=1)}
        with torch.no_grad():
            far = _UNIT_M * wrong.norm(dim=-1)
            for i, role in enumerate(ROLES):
                count = seen[..., i, 0].sum().clamp(min=1)
                found[f"{role}_mm"] = 1e3 * far[..., i].sum() / count
        return found


class Asking:
    """A lesson for pointing (see `Run`): windows of demonstrations, each with any sentence."""

    def __init__(
        self,
        pointing: Pointing,
        examples: Examples,
        batches: Batches,
        known: Sentences,
        windows: int,
    ) -> None:
        self._pointing, self._examples, self._batches = pointing, examples, batches
        self._known, self._windows = known, windows
        self._landmarks = landmarks()

    def __call__(self, random: np.random.Generator) -> Mapping[str, Tensor]:
        """Losses of one step of training."""
        at = self._batches.frames(self._windows, random)
        number = random.integers(len(self._known.meaning), size=len(at))
        thing = self._landmarks[self._known.meaning[number]]
        places = self._examples.sights["places"][at, :, thing[:, None], :_VALUES]
        steps, length = self._pointing.network.config.action_steps, at.shape[1]
        windows = Windows(
            tokens=torch.from_numpy(self._known.tokens[number]),
            **self._batches.sight(at),  # type: ignore[arg-type]
            states=torch.from_numpy(self._examples.states[at]),
            actions=torch.zeros(len(at), length, steps, 7),
            known=torch.zeros(len(at), length, steps, dtype=torch.bool),
        )
        return self._pointing.losses(windows, torch.from_numpy(places).float())
