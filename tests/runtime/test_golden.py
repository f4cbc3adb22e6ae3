"""A bundle's ONNX files compute what the released code computed, at every slot of the window.

Twice: with `compare_case`, which is what `dreamvla verify --golden` runs, and with a comparison
written here that shares no code with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from dreamvla_edge.runtime.bundle import Bundle
from dreamvla_edge.runtime.errors import BundleError
from dreamvla_edge.runtime.golden_case import compare_case
from dreamvla_edge.runtime.policy import Policy
from dreamvla_edge.runtime.window import Frame
from golden_cases import FOLDER, FULL, Golden

TOLERANCE = {"small": 1e-5, "full": 1e-4}
"""Of the largest magnitude in the slot. Two float32 implementations of two layers agree to about
1e-6 and of 24 layers to about 1e-5; the smallest planted error in these tests makes 1e-4."""

Arrays = dict[str, np.ndarray]


def expected_stages(golden: Golden, name: str) -> list[tuple[str, str]]:
    """Every comparison that the case's arrays allow."""
    case, outputs = golden.case(name), golden.outputs(name)
    last = case["sequence_length"] - 1
    uses = [f"slot {slot}, fill" for slot in range(last + 1)]
    uses += [f"slot {last}, {use}" for use in ("prefill and step", "one pass")]
    head = "denoise" if case["use_dit_head"] else "head"
    dreams = [array.removesuffix("_last") for array in outputs if array.startswith("dream_")]
    return [
        ("mask", "whole window"),
        ("text", "instruction"),
        *((part, use) for use in uses for part in ("backbone", head)),
        *((dream, "last slot") for dream in dreams),
    ]


def check_stages(golden: Golden, name: str, bundle: Bundle, tolerance: float) -> None:
    """What `compare_case` says is complete and within the tolerance."""
    stages = compare_case(bundle, FOLDER, name)
    assert sorted((s.name, s.use) for s in stages) == sorted(expected_stages(golden, name))
    beyond = [s for s in stages if not s.error <= tolerance]
    assert beyond == []
    assert [s.error for s in stages if s.name == "mask"] == [0]


def off(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference over the largest expected magnitude; NaN if there is one."""
    assert found.shape == expected.shape and found.dtype == np.float32
    return float(np.max(np.abs(found - expected)) / np.max(np.abs(expected)))


def ways(policy: Policy, text: np.ndarray, frames: list[Frame]) -> Iterator[tuple[str, int, Any]]:
    """Features of every slot, frame by frame and all at once, and of the last after a prefill."""
    window, last = policy.window, len(frames) - 1
    window.reset(text)
    for slot, frame in enumerate(frames):
        window.push(frame)
        yield "fill", slot, window.features(ahead=frames[slot + 1 :])
    for slot in range(len(frames)):
        window.reset(text)
        for frame in frames[: slot + 1]:
            window.push(frame)
        yield "one pass", slot, window.features(ahead=frames[slot + 1 :])
    window.reset(text)
    for frame in [*frames, *frames]:  # prefill happens in a window that slides
        if window.slots > last:
            window.prefill()
        window.push(frame)
    yield "prefill and step", last, window.features()


def differences(golden: Golden, name: str, bundle: Bundle) -> dict[str, float]:
    """How far features and actions are off, by way and slot."""
    raw, released = golden.observations(name), golden.outputs(name)
    found = {}
    with Policy(bundle) as policy:
        cameras = np.stack([raw["image_primary"][0], raw["image_wrist"][0]], 1)  # (S, 2, 3, h, w)
        frames = [Frame(policy.vision(pair), raw["state"][0, i]) for i, pair in enumerate(cameras)]
        text = policy.text(raw["text_token"][0, :1].astype(np.int32))
        found["text"] = off(text, released["text_embedding"])
        for way, slot, features in ways(policy, text, frames):
            actions = policy.actions(features, raw["noise"][slot])
            found[f"features, {way}, {slot}"] = off(features, released["action_features"][slot])
            found[f"actions, {way}, {slot}"] = off(actions, released["actions"][slot])
    return found


def check_differences(golden: Golden, name: str, bundle: Bundle, tolerance: float) -> None:
    """Every way and slot is within the tolerance, and none was forgotten."""
    found = differences(golden, name, bundle)
    assert len(found) == 1 + 2 * (2 * golden.case(name)["sequence_length"] + 1)
    beyond = {key: error for key, error in found.items() if not error <= tolerance}
    assert beyond == {}


def test_compare_case(small_case: str, golden: Golden, bundle: Callable[[str], Bundle]) -> None:
    """Every array that the bundle computes too, the mask exactly."""
    check_stages(golden, small_case, bundle(small_case), TOLERANCE["small"])


def test_features_and_actions(
    small_case: str, golden: Golden, bundle: Callable[[str], Bundle]
) -> None:
    """Filling, sliding with the window computed ahead, and everything in one pass."""
    check_differences(golden, small_case, bundle(small_case), TOLERANCE["small"])


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", FULL)
def test_full_size(name: str, golden: Golden, bundle: Callable[[str], Bundle]) -> None:
    """The released sizes with 24 layers, both ways."""
    check_stages(golden, name, bundle(name), TOLERANCE["full"])
    check_differences(golden, name, bundle(name), TOLERANCE["full"])


# What compare_case refuses, and what it must not accept


def test_other_observations_give_another_result(bundle: Callable[[str], Bundle]) -> None:
    """With another seed nothing but the mask agrees with the folder's outputs."""
    stages = compare_case(bundle("libero_small"), FOLDER, "libero_small", seed=1)
    assert {s.name for s in stages if s.passed} == {"mask"}


@pytest.mark.parametrize(
    ("case", "found", "cure"),
    [
        ("nowhere", "no case 'nowhere' in ", "name one of them with --case"),
        ("libero_small", "has states and noise of (7, 8) and (7, 3)", "choose the case that"),
    ],
)
def test_the_wrong_case(case: str, found: str, cure: str, bundle: Callable[[str], Bundle]) -> None:
    """One that is not there, or that belongs to another network."""
    with pytest.raises(BundleError) as caught:
        compare_case(bundle("calvin_small"), FOLDER, case)
    assert found in caught.value.found and cure in caught.value.cure


def test_a_case_of_a_network_of_the_same_sizes_fails(bundle: Callable[[str], Bundle]) -> None:
    """Goal attention is told apart by the mask and by the numbers."""
    stages = compare_case(bundle("calvin_small"), FOLDER, "goal_small")
    assert {"mask", "backbone", "denoise"} <= {s.name for s in stages if not s.passed}
