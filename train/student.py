"""The lesson of a student: the denoiser does in one or two evaluations what it did in all.

Distillation from the teacher's own samples: for each noise and condition the student's data
prediction at t = 90, and with two evaluations also at t = 45, shall be the actions that DDIM with
guidance samples from there (Luhman and Luhman, arXiv 2101.02388). The guidance is distilled as
well, so that a student samples with 1 (Meng et al., arXiv 2210.03142). All else of the network
stays as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from dreamvla_edge.model.losses import features_of
from dreamvla_edge.model.network import DreamVLA
from dreamvla_edge.model.schedule import alpha_bar, ddim

from .batch import Batches

TIMES = {1: (90,), 2: (90, 45)}
"""Of a student with so many evaluations; `samplers.named` has the same as `student-N`."""
_LEARNS = "action_model."


def frozen(network: nn.Module) -> tuple[str, ...]:
    """Names of all weights that a student leaves alone."""
    return tuple(name for name, _ in network.named_parameters() if not name.startswith(_LEARNS))


class Following:
    """A lesson (see `Run`): windows of demonstrations, of which only what is seen matters.

    network: with the teacher's weights, of which a copy is kept; guidance, teacher_steps: how the
    teacher samples; evaluations: of the student, a key of TIMES. Its denoiser learns.
    """

    def __init__(
        self,
        network: DreamVLA,
        batches: Batches,
        windows: int,
        guidance: float,
        teacher_steps: int,
        evaluations: int,
    ) -> None:
        self._network, self._batches, self._windows = network, batches, windows
        self._guidance, self._steps, self._times = guidance, teacher_steps, TIMES[evaluations]
        self._teacher = copy.deepcopy(network.action_model.net).requires_grad_(False)

    def __call__(self, random: np.random.Generator) -> Mapping[str, Tensor]:
        """`loss`: mean squared error of the student's actions; `last`: after all evaluations."""
        windows = self._batches.draw(self._windows, random)
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        steps = self._network.config.action_steps
        with torch.no_grad():
            seen = features_of(self._network, windows)[:, :, -steps:].flatten(0, 1).float()
            noise = torch.randn(len(seen), steps, 7, generator=generator)
            wanted = ddim(
                noise,
                lambda x, t: self._teacher.guided(x, t, seen, self._guidance).float(),
                self._steps,
            )
        errors = [(found - wanted).square().mean() for found in self._predicted(noise, seen)]
        return {"loss": torch.stack(errors).mean(), "last": errors[-1].detach()}

    def _predicted(self, noise: Tensor, seen: Tensor) -> list[Tensor]:
        """The student's data predictions (n, P, 7) at each of its times."""
        levels, x, found = alpha_bar().float(), noise, []
        for number, t in enumerate(self._times):
            level = levels[t]
            epsilon = self._network.action_model.net(x, torch.full((len(x),), t), seen).float()
            found.append((x - (1 - level).sqrt() * epsilon) / level.sqrt())
            if number + 1 < len(self._times):
                there = levels[self._times[number + 1]]
                x = there.sqrt() * found[-1] + (1 - there).sqrt() * epsilon
        return found
