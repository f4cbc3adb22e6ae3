"""The network equals the released code on its golden data, through a checkpoint file."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from dreamvla_edge.model.checkpoint import UNNEEDED, load_network
from dreamvla_edge.model.network import CAMERAS, DreamVLA
from dreamvla_edge.model.released import ReleasedLoop, WindowOutputs, run_window
from dreamvla_edge.model.sizes import Hints
from golden_cases import FULL, SMALL, Golden

TOLERANCE = 1e-5
"""Of an output's largest magnitude: what float32 implementations agree to (golden/README.md)."""

KEPT_WHOLE = 200_000
"""Longer golden arrays keep every seventh token."""


class Computed(NamedTuple):
    """One golden case: our network, its outputs for the whole window, and the released ones."""

    name: str
    network: DreamVLA
    outputs: WindowOutputs
    released: dict[str, np.ndarray]


def write_released(path: Path, golden: Golden, name: str) -> None:
    """The checkpoint of a case; tensors that nobody needs have their shape, but no values."""
    state = {}
    for key, shape in golden.shapes(name).items():
        if key == "attention_mask":
            state[key] = torch.from_numpy(golden.attention_mask(name))
        elif any(fnmatchcase(key, pattern) for pattern in UNNEEDED):
            state[key] = torch.full((), torch.nan).expand(shape)
        else:
            state[key] = torch.from_numpy(golden.weight(key, shape))
    torch.save({"model_state_dict": {f"module.{key}": value for key, value in state.items()}}, path)


def window_inputs(golden: Golden, name: str) -> tuple[Tensor, dict[str, Tensor], Tensor, Tensor]:
    """Arguments of `run_window`: tokens, images by camera, states and noise."""
    raw = golden.observations(name)
    images = {camera: torch.from_numpy(raw[f"image_{camera}"][0]) for camera in CAMERAS}
    tokens, states = torch.from_numpy(raw["text_token"][0]), torch.from_numpy(raw["state"][0])
    return tokens, images, states, torch.from_numpy(raw["noise"])


def compute(golden: Golden, name: str, path: Path) -> Computed:
    """Write the case's checkpoint, load it with nothing but hints, run its window."""
    case = golden.case(name)
    write_released(path, golden, name)
    hints = Hints(heads=case["transformer_heads"], finger_state=case["gripper_width"])
    network = load_network(path, hints)
    path.unlink()
    outputs = run_window(network, *window_inputs(golden, name))
    return Computed(name, network, outputs, golden.outputs(name))


@pytest.fixture(scope="module", params=SMALL)
def computed(
    request: pytest.FixtureRequest, golden: Golden, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Computed]:
    """Each small case in turn, computed once for all tests."""
    yield compute(golden, request.param, tmp_path_factory.mktemp("golden") / "checkpoint.pt")


def off(found: Tensor | np.ndarray, expected: np.ndarray) -> float:
    """Largest difference relative to the largest magnitude; NaN if there is one."""
    found = np.asarray(found)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def dreamt(case: Computed, head: str) -> np.ndarray:
    """Our prediction at the last slot in the golden layout (2 cameras, 1, N or fewer, C)."""
    with torch.inference_mode():
        found = case.network.dream(head, case.outputs.dream_features[-1])[:, None].numpy()
    return found[:, :, ::7] if found.size > KEPT_WHOLE else found


def differences(case: Computed) -> dict[str, float]:
    """How far every golden output is off: the slots of actions and features one by one."""
    ours, theirs = case.outputs, case.released
    found = {"text": off(ours.text[:1], theirs["text_embedding"])}
    for slot in range(case.network.config.window):
        found[f"actions {slot}"] = off(ours.actions[slot], theirs["actions"][slot])
        features = off(ours.action_features[slot], theirs["action_features"][slot])
        found[f"action_features {slot}"] = features
    for camera in CAMERAS:
        cls, resampled = ours.cls[camera][-1:], ours.resampled[camera][-1]
        found[f"cls {camera}"] = off(cls, theirs[f"vision_cls_{camera}_last"])
        found[f"resampled {camera}"] = off(resampled, theirs[f"resampled_{camera}_last"])
    for head in case.network.config.dreams:
        found[head.name] = off(dreamt(case, head.name), theirs[f"dream_{head.name}_last"])
    return found


def test_every_output_at_every_slot(computed: Computed) -> None:
    """Actions, features, text, vision and dream heads are those of the released code."""
    beyond = {name: d for name, d in differences(computed).items() if not d <= TOLERANCE}
    assert beyond == {}


def test_no_golden_output_is_left_out(computed: Computed) -> None:
    """A head that we do not build would not be compared."""
    compared = {f"dream_{head.name}_last" for head in computed.network.config.dreams}
    assert {name for name in computed.released if name.startswith("dream_")} == compared
    assert len(computed.released["actions"]) == computed.network.config.window


def test_the_mask_is_exact(computed: Computed, golden: Golden) -> None:
    """The buffer that the backbone uses is the released mask, bit by bit."""
    released = golden.attention_mask(computed.name)
    assert np.array_equal(computed.network.attention_mask.numpy(), released)


def test_the_loop_reads_each_slot_while_the_window_fills(golden: Golden, tmp_path: Path) -> None:
    """Step n with padding behind it gives what slot n gives with the true later frames.

    This holds because nothing reads a later step; goal attention does and is another case. Three
    steps are enough here: test_released.py goes on, with a network that takes less time.
    """
    name = "libero_small"
    case = compute(golden, name, tmp_path / "checkpoint.pt")
    tokens, images, states, noise = window_inputs(golden, name)
    loop = ReleasedLoop(case.network)
    for slot in range(3):
        frames = torch.stack([images[camera][slot] for camera in CAMERAS])
        actions = loop.act(tokens[slot], frames, states[slot], noise)
        assert off(actions, case.released["actions"][slot]) <= TOLERANCE, slot


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", FULL)
def test_full_size(name: str, golden: Golden, tmp_path: Path) -> None:
    """The released sizes with 24 layers."""
    case = compute(golden, name, tmp_path / "checkpoint.pt")
    beyond = {key: d for key, d in differences(case).items() if not d <= TOLERANCE}
    assert beyond == {}
    assert np.array_equal(case.network.attention_mask.numpy(), golden.attention_mask(name))
