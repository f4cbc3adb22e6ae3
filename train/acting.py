"""The lesson of the whole network: to act, and to dream what comes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from dreamvla_edge.model.losses import losses, total
from dreamvla_edge.model.network import DreamVLA

from .batch import Batches


class Acting:
    """A lesson (see `Run`): so many windows of all demonstrations."""

    def __init__(self, network: DreamVLA, batches: Batches, windows: int) -> None:
        self._network, self._batches, self._windows = network, batches, windows

    def __call__(self, random: np.random.Generator) -> Mapping[str, Tensor]:
        """Losses of one step of training, and their weighted sum."""
        windows = self._batches.draw(self._windows, random)
        noise = torch.Generator().manual_seed(int(random.integers(2**62)))
        found = losses(self._network, windows, noise)
        return {"loss": total(found), **found}
