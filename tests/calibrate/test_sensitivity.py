"""The search keeps the groups that cost most, and no more than it takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dreamvla_edge.calibrate import sensitivity
from dreamvla_edge.calibrate.accept import likeness
from dreamvla_edge.calibrate.data import episodes, moments
from dreamvla_edge.calibrate.observe import observe
from dreamvla_edge.calibrate.plan import Choice, QuantPlan
from dreamvla_edge.runtime.bundle import Bundle

PLAN = QuantPlan(1, "own", {"denoise": Choice(precision="uint8", observer="min-max")})


def test_groups_are_attention_and_mlp_of_each_block(shipped: Bundle) -> None:
    """Every layer once."""
    found = sensitivity.groups_of(shipped, "denoise", PLAN.subgraphs["denoise"])
    assert found["net.blocks.2.attn"] == ("net.blocks.2.attn.qkv", "net.blocks.2.attn.proj")
    assert found["net.blocks.2.mlp"] == ("net.blocks.2.mlp.fc1", "net.blocks.2.mlp.fc2")
    layers = [layer for own in found.values() for layer in own]
    assert len(layers) == len({*layers}) == 4 * 4 + 5


def test_nothing_quantized_is_no_error(shipped: Bundle, recordings: Path) -> None:
    """And one group alone errs less than all of them."""
    specification = shipped.manifest.specification
    shown = episodes(recordings, specification)[:1]
    data = list(moments(shown, recordings, specification))[:12]
    seen = observe(shipped, ("denoise",), data, 12)
    known = sensitivity.reference(shipped, data)
    none = Choice(precision="uint8", keep=("*",))
    assert sensitivity._tried(shipped, {"denoise": none}, seen, known).error < 1e-5
    every = sensitivity._tried(shipped, PLAN.subgraphs, seen, known)
    groups = sensitivity.groups_of(shipped, "denoise", PLAN.subgraphs["denoise"])
    others = tuple(la for key, own in groups.items() if key != "net.blocks.1.mlp" for la in own)
    alone = Choice(precision="uint8", observer="min-max", keep=others)
    one = sensitivity._tried(shipped, {"denoise": alone}, seen, known)
    assert 0 < one.error < every.error


@pytest.mark.parametrize("needed", [0, 1, 5, 12, 13])
def test_no_more_is_kept_than_it_takes(
    needed: int, shipped: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a plan passes with the `needed` worst kept, these are kept, in their order."""
    groups = sensitivity.groups_of(shipped, "denoise", PLAN.subgraphs["denoise"])
    bad = likeness(np.ones((4, 7)), np.zeros((4, 7)), np.full((4, 7), 0.1), 0.5)
    good = likeness(np.zeros((4, 7)), np.zeros((4, 7)), np.full((4, 7), 0.1), 0.5)
    assert good.passed and not bad.passed
    found = [sensitivity.Effect("denoise", group, bad) for group in groups]

    def tried(bundle: object, choices: dict[str, Choice], *_: object) -> object:
        kept = [g for g, own in groups.items() if all(choices["denoise"].keeps(la) for la in own)]
        assert kept == [*groups][: len(kept)]
        return good if len(kept) >= needed else bad

    monkeypatch.setattr(sensitivity, "_tried", tried)
    nothing: object = None
    plan, likely = sensitivity.fewest_kept(shipped, PLAN, {}, nothing, found)  # type: ignore[arg-type]
    assert likely.passed
    choice = plan.subgraphs["denoise"]
    assert sum(all(choice.keeps(la) for la in own) for own in groups.values()) == needed


def test_likeness_by_hand() -> None:
    """Means over arm values; flips where the threshold lies between; NaN never passes."""
    wanted, seeded, mine = (np.zeros((10, 7)) for _ in range(3))
    seeded[:, :6] = 0.5
    seeded[:5, 6] = 1
    mine[3, :6] = 0.2
    mine[7, 6] = 0.9
    found = likeness(mine, wanted, seeded, 0.5)
    assert found.error == pytest.approx(0.02) and found.spread == pytest.approx(0.5)
    assert (found.flips, found.seed_flips) == (0.1, 0.5) and found.passed
    assert found.worst[0] == 3
    mine[8, 6] = 0.9
    assert not likeness(mine, wanted, seeded, 0.5).passed
    mine[8, 6] = np.nan
    mine[7] = 0
    mine[2, 1] = np.nan
    assert not likeness(mine, wanted, seeded, 0.5).passed
