"""The text tower learns what is asked for, however it is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dreamvla_edge.export.tokenizer import write_tokenizer
from dreamvla_edge.model.initial import initial_network
from dreamvla_edge.runtime.tokenizer import Tokenizer
from dreamvla_edge.sim.scene.layout import COLOURS
from dreamvla_edge.sim.tasks import FAMILIES, Object, said
from dreamvla_edge.train.demo import NETWORK
from dreamvla_edge.train.plan import Plan
from dreamvla_edge.train.run import Run
from dreamvla_edge.train.words import Reading, Sentences, Words, codes, sentences

MEANINGS = 3 * len(COLOURS) + 3 * len(COLOURS) + 1


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """CLIP's."""
    file = tmp_path_factory.mktemp("words") / "tokenizer.json"
    write_tokenizer(file)
    return Tokenizer(file)


@pytest.fixture(scope="module")
def known(tokenizer: Tokenizer) -> Sentences:
    """All that training says."""
    return sentences(tokenizer)


def test_every_training_phrasing_and_none_that_is_held_out(
    known: Sentences, tokenizer: Tokenizer
) -> None:
    """With every object, each as often as there are phrasings."""
    rows = {row.tobytes() for row in known.tokens}
    counts = np.bincount(known.meaning)
    assert len(rows) == len(known.tokens) and len(counts) == MEANINGS
    for family in FAMILIES.values():
        about = Object(*("red" if "{colour}" in family.phrasings[0] else "", family.ways[0]))
        for phrases, isin in ((family.phrasings, True), (family.held_out, False)):
            for phrase in phrases:
                row = tokenizer(said(phrase, about))[0].astype(np.int64)
                assert (row.tobytes() in rows) == isin, phrase


def test_codes_share_what_meanings_share() -> None:
    """A colour is the same step in all families that have one; no two meanings are near."""
    found = codes(128).double()
    assert found.shape == (MEANINGS, 128)
    between = torch.cdist(found, found) + torch.eye(MEANINGS) * 1e9
    assert between.min() > 8
    end = -1 - len(COLOURS)  # the drawer's, and the bowl's
    families = found[: len(COLOURS)], found[end - len(COLOURS) : end]
    steps = [own - own[:1] for own in families]
    torch.testing.assert_close(*steps, atol=1e-5, rtol=0)  # they were added in float32


@pytest.mark.slow
def test_it_understands_what_it_never_heard(
    known: Sentences, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """Nearly all held-out sentences are taken for what they mean after a minute's lessons."""
    words = Words(initial_network(NETWORK, 0))
    plan = Plan(steps=800, windows=64, average=0.98)
    run = Run(words, Reading(words, known, plan.windows, 0.12), plan, tmp_path, "")
    run.go(800, lambda line: None)
    rows, meaning, number = [], [], 0
    for family in FAMILIES.values():
        colours = [*COLOURS] if "{colour}" in family.phrasings[0] else [""]
        for colour in colours:
            for way in family.ways:
                for phrase in family.held_out:
                    rows.append(tokenizer(said(phrase, Object(colour, way)))[0])
                    meaning.append(number)
                number += 1
    with torch.no_grad():
        found = words.eval().losses(
            torch.from_numpy(np.stack(rows).astype(np.int64)), torch.tensor(meaning)
        )
    assert found["wrong"] < 0.05
