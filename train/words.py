"""Words before deeds: the text tower learns what is asked for before anything acts on it.

The released network's text tower was trained on millions of captions (CLIP) and never changes.
That of the demo is taught what the tasks' instructions mean: what asks for the same family, colour
and way shall give the same embedding, however it is said.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dreamvla_edge.model.network import DreamVLA
from dreamvla_edge.sim.scene.layout import COLOURS
from dreamvla_edge.sim.tasks import FAMILIES, Object, said

from .batch import exchanged
from .scene import LANDMARKS


class Sentences(NamedTuple):
    """Everything that training says: tokens (n, 77), and the number of what each means (n,)."""

    tokens: NDArray[np.int64]
    meaning: NDArray[np.int64]


def sentences(tokens: Callable[[str], NDArray[np.int32]]) -> Sentences:
    """All phrasings with all objects; tokens: of an instruction, (1, 77)."""
    rows, meaning = [], []
    for number, (name, about) in enumerate(_meanings()):
        for phrase in FAMILIES[name].phrasings:
            rows.append(tokens(said(phrase, about))[0].astype(np.int64))
            meaning.append(number)
    return Sentences(np.stack(rows), np.array(meaning))


def codes(width: int) -> Tensor:
    """What each meaning's embedding should be (meanings, width).

    The sum of a vector for the family, one for the colour and one for the way, drawn once and for
    all: what two meanings have in common their embeddings have too.
    """
    random = torch.Generator().manual_seed(0)
    words = [[part for part in (name, *about) if part] for name, about in _meanings()]
    vectors = {word: torch.randn(width, generator=random) for word in dict.fromkeys(sum(words, []))}
    return torch.stack([torch.stack([vectors[w] for w in own]).sum(0) for own in words])


class Words(nn.Module):
    """The text tower of a network under its names."""

    def __init__(self, network: DreamVLA) -> None:
        super().__init__()
        self.clip_model = network.clip_model
        self.codes: Tensor
        self.register_buffer("codes", codes(network.config.text_width), persistent=False)

    def losses(self, tokens: Tensor, meaning: Tensor) -> dict[str, Tensor]:
        """Of tokens (n, 77) and meanings (n,); `wrong`: the share that is taken for another."""
        found = self.clip_model(tokens).float()
        loss = nn.functional.mse_loss(found, self.codes[meaning])
        with torch.no_grad():
            nearest = torch.cdist(found, self.codes).argmin(-1)
        return {"loss": loss, "wrong": (nearest != meaning).float().mean()}


class Reading:
    """A lesson for words (see `Run`): so many sentences, in which a share of words is exchanged."""

    def __init__(self, words: Words, known: Sentences, count: int, other_words: float) -> None:
        self._words, self._known, self._count = words, known, count
        self._other_words = other_words

    def __call__(self, random: np.random.Generator) -> Mapping[str, Tensor]:
        """Losses of one step of training."""
        at = random.integers(len(self._known.meaning), size=self._count)
        tokens = exchanged(self._known.tokens[at], self._other_words, random)
        return self._words.losses(
            torch.from_numpy(tokens), torch.from_numpy(self._known.meaning[at])
        )


def _meanings() -> list[tuple[str, Object]]:
    found = []
    for name, family in FAMILIES.items():
        colours = [*COLOURS] if "{colour}" in family.phrasings[0] else [""]
        found += [(name, Object(*pair)) for pair in product(colours, family.ways)]
    return found


def landmarks() -> NDArray[np.int64]:
    """Which landmark (`scene.places_of`) each meaning is about (meanings,)."""
    colours = [*COLOURS]
    handle = LANDMARKS - 1
    return np.array(
        [colours.index(about.colour) if about.colour else handle for _, about in _meanings()]
    )
