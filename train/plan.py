"""Everything that a training run depends on, beside its examples and its first weights."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """How to train.

    steps: of the optimizer; windows: drawn for each of them; rate: the highest learning rate,
    reached after `warm_up` steps, from which a cosine goes down to a hundredth; decay: AdamW's
    weight decay of matrices; average: of the weights (EMA), per step; dreams: whether with their
    losses; other_words: see Batches; frozen: beginnings of the names of weights that are left
    alone; seed: of everything that is drawn.
    """

    steps: int
    windows: int = 16
    rate: float = 1e-3
    warm_up: int = 200
    decay: float = 0.05
    average: float = 0.999
    dreams: bool = True
    other_words: float = 0.0
    frozen: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.windows < 1 or self.warm_up < 0:
            raise ValueError("steps and windows must be above zero, warm_up not below")
        if not (0 < self.rate < math.inf and 0 <= self.average < 1 and 0 <= self.other_words < 1):
            raise ValueError("a rate is above zero, average and other_words lie in [0, 1)")

    def rate_at(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        if step < self.warm_up:
            return self.rate * (step + 1) / self.warm_up
        done = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.rate * (0.01 + 0.99 * (1 + math.cos(math.pi * min(done, 1.0))) / 2)
