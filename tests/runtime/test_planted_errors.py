"""Errors that a caching policy can make, planted in it: `verify` and the golden episode see them.

Each is the kind of slip that leaves shapes and plausibility intact.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from dreamvla_edge.runtime.backends.onnxruntime import OnnxRuntimeSession
from dreamvla_edge.runtime.bundle import Bundle
from dreamvla_edge.runtime.policy import Policy
from dreamvla_edge.runtime.verify import verify
from dreamvla_edge.runtime.window import Cache, Frame, Window
from episodes import EPISODES, played, released, wrong_steps
from golden_cases import Golden

DREAM = 3
"""Kind of the first queries, which a prefill does not have."""

Patch = pytest.MonkeyPatch
Inputs = dict[str, Any]


def wrong_episode(policy: Policy, golden: Golden, data_set: str) -> dict[str, list[int]]:
    """By array, the steps at which a policy goes wrong; the last window slides twice or more."""
    found = played(policy, golden, data_set, 12)
    return wrong_steps(found, released(golden, data_set), data_set == "calvin")


def feed(patch: Patch, change: Callable[[Inputs], Inputs], prefill: bool) -> None:
    """Change what the backbone is given in prefills, or else in steps."""
    run = OnnxRuntimeSession.run

    def changed(self: OnnxRuntimeSession, inputs: Inputs, into: Any = None) -> Any:
        if "read" in inputs and prefill == (inputs["kind"].max() < DREAM):
            inputs = {**inputs, **change(inputs)}
        return run(self, inputs, into)

    patch.setattr(OnnxRuntimeSession, "run", changed)


def prefill_off_by_one_row(patch: Patch) -> None:
    """The first row of every slot says that it is in the slot before."""
    feed(patch, lambda inputs: {"slot": np.append(inputs["slot"][:1], inputs["slot"][:-1])}, True)


def prefill_in_one_slot(patch: Patch) -> None:
    """Rows of a prefill forget that they stand in different slots: all read all."""
    feed(patch, lambda inputs: {"slot": inputs["slot"] * 0}, True)


def step_two_slots_back(patch: Patch) -> None:
    """New rows take themselves for older than the newest that is cached."""
    feed(patch, lambda inputs: {"slot": inputs["slot"] - 2}, False)


def past_one_slot_back(patch: Patch) -> None:
    """Codes of what is cached are one slot early: the oldest falls out of the window."""
    feed(patch, lambda inputs: {"past_slot": inputs["past_slot"] - 1}, False)


def past_two_slots_on(patch: Patch) -> None:
    """Codes of what is cached are late: the newest of it is in the future."""
    feed(patch, lambda inputs: {"past_slot": inputs["past_slot"] + 2}, False)


def queries_of_one_kind(patch: Patch) -> None:
    """Action queries pass for dream queries."""
    feed(patch, lambda inputs: {"kind": np.minimum(inputs["kind"], 3)}, False)


def keys_and_values_of_two_layers_swapped(patch: Patch) -> None:
    """The first layer reads what the second one kept."""
    names = [("past_k0", "past_k1"), ("past_k1", "past_k0")]
    feed(patch, lambda inputs: {to: inputs[of] for to, of in names}, False)


def prefill_at_the_old_positions(patch: Patch) -> None:
    """Frames of a prefill keep the slot that they had in the last window."""
    embed = Window.embed

    def shifted(self: Window, frames: list[Frame], first: int, query_slot: int) -> Any:
        prefill = len(frames) == self.spec.window - 1
        return embed(self, frames, first + prefill, query_slot)

    patch.setattr(Window, "embed", shifted)


def stale_keys(patch: Patch) -> None:
    """Keys and values of the last window pass for those of the next."""
    prefill = Window.prefill

    def lazy(self: Window, expected: int = 1) -> None:
        if self._count <= self.spec.window:
            prefill(self, expected)
        else:
            self._cache = Cache(self._cache.first + 1, self._cache.slots, self._cache.tensors)

    patch.setattr(Window, "prefill", lazy)


def newest_frame_forgotten(patch: Patch) -> None:
    """A prefill takes the frame before the newest for the newest."""
    prefill = Window.prefill

    def forgetful(self: Window, expected: int = 1) -> None:
        frames = self._frames.copy()
        if len(frames) > 1:
            self._frames[-1] = frames[-2]
        prefill(self, expected)
        self._frames = frames

    patch.setattr(Window, "prefill", forgetful)


SEEN_BY_BOTH = (
    prefill_off_by_one_row,
    prefill_in_one_slot,
    step_two_slots_back,
    past_one_slot_back,
    past_two_slots_on,
    queries_of_one_kind,
    keys_and_values_of_two_layers_swapped,
    prefill_at_the_old_positions,
    newest_frame_forgotten,
)


@pytest.mark.parametrize("plant", SEEN_BY_BOTH)
def test_an_error_in_the_window(
    plant: Callable[[Patch], None],
    golden: Golden,
    bundle: Callable[[str], Bundle],
    monkeypatch: Patch,
) -> None:
    """`verify` names the backbone, and the golden episode goes wrong."""
    plant(monkeypatch)
    opened = bundle("libero_small")
    assert next(stage.name for stage in verify(opened) if not stage.passed) == "backbone"
    with Policy(opened) as policy:
        assert {"chunks", "actions"} <= set(wrong_episode(policy, golden, "libero"))


def test_stale_keys(golden: Golden, bundle: Callable[[str], Bundle], monkeypatch: Patch) -> None:
    """The window slides once in `verify`, where nothing is stale yet; the episode sees it."""
    stale_keys(monkeypatch)
    with Policy(bundle("libero_small")) as policy:
        assert wrong_episode(policy, golden, "libero")["chunks"][0] == 8  # slots 7 and 8 slide


@pytest.mark.parametrize("data_set", EPISODES)
def test_a_stale_vision_cache(
    data_set: str, golden: Golden, bundle: Callable[[str], Bundle], monkeypatch: Patch
) -> None:
    """Vision rows of the frame before: wrong from the first frame that is not a first one."""
    vision, last = Policy.vision, []

    def stale(self: Policy, images: np.ndarray) -> np.ndarray:
        last.append(vision(self, images))
        return last[-2 if len(last) > 1 else -1]

    monkeypatch.setattr(Policy, "vision", stale)
    with Policy(bundle(EPISODES[data_set])) as policy:
        wrong = wrong_episode(policy, golden, data_set)
    assert set(wrong) == {"chunks", "actions"}
    assert wrong["chunks"] == list(range(1, 12))


def test_an_instruction_that_is_not_encoded_again(
    golden: Golden, bundle: Callable[[str], Bundle], monkeypatch: Patch
) -> None:
    """The text of the episode before: wrong from the reset on."""
    text, known = Policy.text, []

    def stale(self: Policy, tokens: np.ndarray) -> np.ndarray:
        known.append(text(self, tokens))
        return known[0]

    monkeypatch.setattr(Policy, "text", stale)
    with Policy(bundle("libero_small")) as policy:
        found = played(policy, golden, "libero", 17)
    wrong = wrong_steps(found, released(golden, "libero"), False)
    assert wrong == {"chunks": [15, 16], "actions": [15, 16]}


@pytest.mark.parametrize(("data_set", "flip"), [("calvin", "vertical"), ("libero", "none")])
def test_a_wrong_flip(
    data_set: str, flip: str, golden: Golden, bundle: Callable[[str], Bundle]
) -> None:
    """The primary frame upside down: every step of the episode goes wrong."""
    opened = bundle(EPISODES[data_set])
    specification = opened.manifest.specification
    primary, wrist = specification.cameras
    cameras = (replace(primary, flip=flip), wrist)
    manifest = replace(opened.manifest, specification=replace(specification, cameras=cameras))
    with Policy(Bundle(opened.path, manifest)) as policy:
        wrong = wrong_episode(policy, golden, data_set)
    assert wrong == {name: list(range(12)) for name in ("preprocessed", "chunks", "actions")}
