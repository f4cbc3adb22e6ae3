"""What one training step sees: windows drawn from all examples."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dreamvla_edge.model.config import ModelConfig
from dreamvla_edge.model.losses import Dream, Windows, patch_pixels
from dreamvla_edge.runtime.preprocess import Preprocessing
from dreamvla_edge.runtime.tokenizer import END, START

from .examples import AHEAD, Examples

_OTHERS = 0.5
"""Share of windows in which something else is asked for, where the examples know what."""


class Batches:
    """Draws windows of a network's form from examples.

    Where something else is asked for than what the arm is about, the next step alone is known, and
    nothing is dreamt, since what comes would be something else too.

    dreams: whether with what should be dreamt, for the heads that there are targets for;
    other_words: chance that a word is exchanged for any other, so that a word which was never
    heard in training does no harm; seen: what eyes that learn no more make of every picture
    (`eyes.seen_by`), so that they need not look again.
    """

    def __init__(
        self,
        examples: Examples,
        config: ModelConfig,
        preprocessing: Preprocessing,
        dreams: bool,
        other_words: float,
        seen: NDArray[np.float16] | None = None,
    ) -> None:
        self._examples, self._config, self._other_words = examples, config, other_words
        self._preprocessing, self._seen = preprocessing, seen
        known = {"image", *examples.dreams} if dreams else set()
        self.heads = tuple(head.name for head in config.dreams if head.name in known)
        ends = examples.first[1:]
        self._end = np.repeat(ends, np.diff(examples.first))
        self._episode = np.repeat(np.arange(len(ends)), np.diff(examples.first))
        self._starts = np.flatnonzero(np.arange(len(examples)) + config.window <= self._end)

    def __len__(self) -> int:
        return len(self._starts)

    def draw(self, count: int, random: np.random.Generator) -> Windows:
        """So many windows, each as likely as any other."""
        config, examples = self._config, self._examples
        at = self.frames(count, random)
        start = at[:, 0]
        ahead = at[..., None] + np.arange(config.action_steps)
        end = self._end[start][:, None, None]
        slot = int(random.integers(config.window))
        tokens = examples.tokens[self._episode[start]].astype(np.int64)
        actions, known = examples.actions[np.minimum(ahead, end - 1)], ahead < end
        other = self._others(count, random)
        if other.any():
            number = random.integers(examples.others["tokens"].shape[1], size=count)[other]
            tokens[other] = examples.others["tokens"][self._episode[start[other]], number]
            told = examples.others["actions"][at[other], number[:, None]]
            actions[other], known[other, :, 1:] = told[:, :, None], False
        return Windows(
            tokens=torch.from_numpy(exchanged(tokens, self._other_words, random)),
            **self.sight(at),
            states=torch.from_numpy(examples.states[at]),
            actions=torch.from_numpy(actions),
            known=torch.from_numpy(known),
            slot=slot,
            dreams=self._dreams(at[:, slot], other),
        )

    def frames(self, count: int, random: np.random.Generator) -> NDArray[np.int64]:
        """Numbers of the frames of so many windows (count, S), each as likely as any other."""
        start = self._starts[random.integers(len(self._starts), size=count)]
        return start[:, None] + np.arange(self._config.window)

    def sight(self, at: NDArray[np.int64]) -> dict[str, Tensor | None]:
        """The fields of `Windows` that say what is seen in frames."""
        if self._seen is None:
            return {"images": self._pictures(at)}
        return {"images": None, "seen": torch.from_numpy(self._seen[at]).float()}

    def _others(self, count: int, random: np.random.Generator) -> NDArray[np.bool_]:
        """In which windows (count,) something else is asked for."""
        if not self._examples.others:
            return np.zeros(count, np.bool_)
        return random.random(count) < _OTHERS

    def _pictures(self, at: NDArray[np.int64]) -> Tensor:
        """Normalised images (…, 2, 3, h, w) of frames (…)."""
        return normalised(self._examples.images[at], self._preprocessing)

    def _dreams(self, at: NDArray[np.int64], other: NDArray[np.bool_]) -> dict[str, Dream]:
        later = np.minimum(at + AHEAD, self._end[at] - 1)
        whole = torch.from_numpy((at + AHEAD < self._end[at]) & ~other)[:, None, None]
        moves = torch.from_numpy(self._examples.moves[at] & ~other[:, None, None])
        found = {}
        for name in self.heads:
            if name == "image":
                target = patch_pixels(self._pictures(later), self._config.patch)
                found[name] = Dream(target, moves)
            else:
                values = torch.from_numpy(self._examples.dreams[name][later]).float()
                found[name] = Dream(values, whole.expand(values.shape[:-1]))
        return found


def normalised(images: NDArray[np.uint8], preprocessing: Preprocessing) -> Tensor:
    """Pictures (…, h, w, 3) as a network sees them (…, 3, h, w)."""
    mean, std = (
        torch.tensor(part)[:, None, None] for part in (preprocessing.mean, preprocessing.std)
    )
    return (torch.tensor(images).movedim(-1, -3) / 255 - mean) / std


def exchanged(
    tokens: NDArray[np.int64], share: float, random: np.random.Generator
) -> NDArray[np.int64]:
    """Tokens (n, 77) with such a share of the words exchanged for any others."""
    words = (tokens != START) & (tokens != END) & (tokens != 0)
    other = random.integers(1, START, size=tokens.shape)
    return np.where(words & (random.random(tokens.shape) < share), other, tokens)
