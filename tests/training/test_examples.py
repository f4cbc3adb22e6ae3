"""Examples are what was recorded, and batches are windows of them."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dreamvla_edge.export.tokenizer import write_tokenizer
from dreamvla_edge.model.losses import patch_pixels
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.errors import RecordingError
from dreamvla_edge.runtime.preprocess import preprocess
from dreamvla_edge.runtime.recording.calvin import read_calvin, write_calvin
from dreamvla_edge.runtime.recording.demonstration import Demonstration, demonstrations
from dreamvla_edge.runtime.recording.recording import open_recording
from dreamvla_edge.runtime.tokenizer import Tokenizer
from dreamvla_edge.sim.demo import ARM, IMAGE, SPECIFICATION
from dreamvla_edge.sim.scene.layout import COLOURS
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.scene.views import FIRST_BLOCK, Views
from dreamvla_edge.sim.tasks import FAMILIES, draw
from dreamvla_edge.sim.teach import MOTION, teach
from dreamvla_edge.train.batch import Batches
from dreamvla_edge.train.demo import NETWORK, PREPROCESSING
from dreamvla_edge.train.examples import AHEAD, Examples, examples_of
from dreamvla_edge.train.scene import LANDMARKS, known

SEEDS = {"touch": 3, "lift": 4}


@pytest.fixture(scope="module")
def scene() -> Scene:
    """An SO-101 on a table."""
    return Scene(load_description(ARM))


@pytest.fixture(scope="module")
def folders(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two recordings of the expert."""
    place = tmp_path_factory.mktemp("taught")
    with Views(scene, IMAGE) as views:
        for name, seed in SEEDS.items():
            assert teach(scene, views, FAMILIES[name], seed, place / f"{name}-{seed}")
    return [place / f"{name}-{seed}" for name, seed in SEEDS.items()]


@pytest.fixture(scope="module")
def shown(folders: list[Path]) -> list[Demonstration]:
    """They, as all readers give them."""
    return [d for folder in folders for d in demonstrations(open_recording(folder))]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    """CLIP's."""
    file = tmp_path_factory.mktemp("words") / "tokenizer.json"
    write_tokenizer(file)
    return Tokenizer(file)


@pytest.fixture(scope="module")
def examples(
    scene: Scene, folders: list[Path], shown: list[Demonstration], tokenizer: Tokenizer
) -> Examples:
    """Everything that is known of them."""
    with Views(scene, IMAGE) as views:
        dreams, sights = known(scene, views, folders, NETWORK.patch)
    return examples_of(
        *(shown, SPECIFICATION, PREPROCESSING, NETWORK.patch, tokenizer, NETWORK.window),
        dreams=dreams,
        sights=sights,
        others={
            "tokens": np.stack([[[49406, 1000 + e, 49407] + [0] * 74] * 2 for e in range(2)]),
            "actions": np.arange(sum(map(len, shown)) * 14, dtype=np.float32).reshape(-1, 2, 7),
        },
    )


@pytest.fixture
def alone(examples: Examples) -> Examples:
    """Without what else could have been asked for."""
    return replace(examples, others={})


def test_numbers_are_those_that_were_recorded(
    examples: Examples, shown: list[Demonstration]
) -> None:
    """But for the gripper, which the head gives as 0 or 1."""
    assert len(examples) == sum(map(len, shown)) and examples.first[1] == len(shown[0])
    np.testing.assert_array_equal(examples.states, np.concatenate([d.states for d in shown]))
    actions = np.concatenate([d.actions for d in shown])
    np.testing.assert_array_equal(examples.actions[:, :6], actions[:, :6])
    np.testing.assert_array_equal(examples.actions[:, 6], (actions[:, 6] + 1) / 2)
    np.testing.assert_array_equal(examples.images[4, 1], shown[0].frame("wrist", 4))


def test_a_data_set_gives_the_same_examples(
    examples: Examples, folders: list[Path], tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """CALVIN's layout loses nothing that is learnt from."""
    write_calvin([open_recording(folder) for folder in folders], tmp_path)
    found = examples_of(
        *(read_calvin(tmp_path), SPECIFICATION, PREPROCESSING, NETWORK.patch),
        *(tokenizer, NETWORK.window),
    )
    assert (
        found.sha256 == replace(examples, dreams={}, sights={}, others={}).sha256 != examples.sha256
    )


def test_a_batch_is_windows_of_one_episode(alone: Examples) -> None:
    """Against the arrays themselves, frame by frame."""
    examples = alone
    batches = Batches(examples, NETWORK, PREPROCESSING, True, 0.0)
    assert batches.heads == ("image", "depth", "sam")
    lengths = np.diff(examples.first)
    assert len(batches) == sum(length - NETWORK.window + 1 for length in lengths)
    batch = batches.draw(64, np.random.default_rng(0))
    flat = {state.tobytes(): i for i, state in enumerate(examples.states)}
    assert len(flat) == len(examples)
    cameras = SPECIFICATION.cameras
    later = set()
    for window in range(64):
        at = [flat[state.numpy().tobytes()] for state in batch.states[window]]
        episode = int(np.searchsorted(examples.first, at[0], side="right")) - 1
        end = examples.first[episode + 1]
        assert at == list(range(at[0], at[0] + NETWORK.window)) and at[-1] < end
        np.testing.assert_array_equal(batch.tokens[window], examples.tokens[episode])
        for slot, here in enumerate(at):
            image = preprocess(examples.images[here, 1], cameras[1], PREPROCESSING)
            np.testing.assert_allclose(batch.images[window, slot, 1], image, atol=1e-5)
            for ahead in range(NETWORK.action_steps):
                known = here + ahead < end
                assert batch.known[window, slot, ahead].item() == known
                if known:
                    expected = examples.actions[here + ahead]
                    np.testing.assert_array_equal(batch.actions[window, slot, ahead], expected)
        here = at[batch.slot]
        whole = here + AHEAD < end
        later.add(bool(whole))
        assert batch.dreams["depth"].counts[window].all() == whole
        assert batch.dreams["depth"].counts[window].any() == whole
        np.testing.assert_array_equal(batch.dreams["image"].counts[window], examples.moves[here])
        if whole:
            image = preprocess(examples.images[here + AHEAD, 0], cameras[0], PREPROCESSING)
            pixels = patch_pixels(torch.from_numpy(image), NETWORK.patch)
            torch.testing.assert_close(batch.dreams["image"].target[window, 0], pixels)
            for name in ("depth", "sam"):
                np.testing.assert_array_equal(
                    batch.dreams[name].target[window], examples.dreams[name][here + AHEAD]
                )
        else:
            assert not examples.moves[here].any()
    assert later == {True, False}


def test_half_of_the_windows_ask_for_something_else(examples: Examples) -> None:
    """Other words and the next action for them; nothing is known of what comes after it."""
    batches = Batches(examples, NETWORK, PREPROCESSING, True, 0.0)
    batch = batches.draw(400, np.random.default_rng(0))
    flat = {state.tobytes(): i for i, state in enumerate(examples.states)}
    other = (batch.tokens[:, 2] == 49407).numpy()
    assert 150 < other.sum() < 250
    numbers = set()
    for window in range(400):
        at = np.array([flat[state.numpy().tobytes()] for state in batch.states[window]])
        told, wanted = batch.actions[window, :, 0].numpy(), examples.others["actions"][at]
        counts = batch.dreams["depth"].counts[window]
        if not other[window]:
            np.testing.assert_array_equal(told, examples.actions[at])
            continue
        episode = int(at[0] >= examples.first[1])
        assert batch.tokens[window, 1] == 1000 + episode
        (number,) = (i for i in range(2) if np.array_equal(told, wanted[:, i]))
        numbers.add(number)
        assert batch.known[window, :, 0].all() and not batch.known[window, :, 1:].any()
        assert not counts.any() and not batch.dreams["image"].counts[window].any()
    assert numbers == {0, 1}


def test_some_words_are_others(alone: Examples) -> None:
    """As many as were asked for, never start, end or the zeros behind it."""
    examples = alone
    batches = Batches(examples, NETWORK, PREPROCESSING, False, 0.3)
    batch = batches.draw(400, np.random.default_rng(0))
    plain = Batches(examples, NETWORK, PREPROCESSING, False, 0.0)
    before = plain.draw(400, np.random.default_rng(0)).tokens
    changed = batch.tokens != before
    words = (before != 0) & (before < 49406)
    assert not (changed & ~words).any()
    assert changed[words].float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert batch.dreams == {}


def test_dreams_know_the_scene(examples: Examples, scene: Scene) -> None:
    """Where a block lies is seen, and the table is nearer at the bottom of the picture."""
    sam, depth = examples.dreams["sam"], examples.dreams["depth"]
    np.testing.assert_allclose(sam.astype(np.float32).sum(-1), 1, atol=2e-3)
    rows = depth[0, 0].astype(np.float32).mean(-1).reshape(6, 6).mean(1)
    assert rows[-1] < rows[0] and 0.1 < rows[-1] < 1.0
    layout = draw(FAMILIES["touch"], SEEDS["touch"], 5).layout
    present = {block.colour for block in layout.blocks}
    seen = sam[0, 0].max(0)[FIRST_BLOCK:]
    assert {c for c, share in zip(COLOURS, seen, strict=True) if share > 0} == present


def test_sights_know_where_things_are(
    examples: Examples, folders: list[Path], scene: Scene
) -> None:
    """In the base for the primary camera, in the tool for the wrist's; against the scene itself."""
    places = examples.sights["places"].astype(float)
    things = examples.sights["things"]
    assert places.shape == (len(examples), 2, LANDMARKS, 5)
    seen = ~np.isnan(places[..., 0])
    for number, (colour, kind) in enumerate(zip(COLOURS, range(FIRST_BLOCK, 99), strict=False)):
        pixels = (things == kind).sum((2, 3))
        assert (seen[pixels > 20, number]).all() and not (seen[pixels == 0, number]).any(), colour
    name, seed = next(iter(SEEDS.items()))
    scene.reset(draw(FAMILIES[name], seed, 5).layout)
    checked = 0
    for frame, qpos in enumerate(np.load(folders[0] / MOTION)["qpos"]):
        scene.show(qpos)
        tool = scene.tool
        spots = [scene.block(colour).position for colour in COLOURS] + [scene.bowl, scene.handle]
        for number, spot in enumerate(spots):
            primary, wrist = places[frame, :, number]
            if seen[frame, 0, number]:
                np.testing.assert_allclose(primary[:3], spot, atol=3e-4)
            if seen[frame, 1, number]:
                there = tool.position + tool.rotation @ wrist[:3]
                np.testing.assert_allclose(there, spot, atol=5e-4)
                checked += 1
            if seen[frame, :, number].all() and number < len(COLOURS):
                along = scene.block([*COLOURS][number]).rotation[:, 0]
                for turned, axis in ((primary, along), (wrist, tool.rotation.T @ along)):
                    yaw = 4 * np.arctan2(axis[1], axis[0])
                    np.testing.assert_allclose(turned[3:], [np.cos(yaw), np.sin(yaw)], atol=1e-3)
    assert checked > 10


def test_they_can_be_kept_and_joined(examples: Examples, tmp_path: Path) -> None:
    """Bit for bit."""
    examples.save(tmp_path / "kept")
    kept = Examples.load(tmp_path / "kept")
    assert kept.sha256 == examples.sha256
    Examples.join([examples, kept], tmp_path / "both")
    both = Examples.load(tmp_path / "both")
    assert len(both) == 2 * len(examples)
    ends = [*examples.first, *(examples.first[1:] + len(examples))]
    np.testing.assert_array_equal(both.first, ends)
    halves = {"dreams": both.dreams, "sights": both.sights, "others": both.others}
    for kind, arrays in halves.items():
        assert arrays.keys() == getattr(examples, kind).keys()
        for name, array in arrays.items():
            half = array[len(array) // 2 :]
            np.testing.assert_array_equal(half, getattr(examples, kind)[name])
    for field in fields(examples):
        if field.name not in ("first", *halves):
            half = getattr(both, field.name)[len(getattr(examples, field.name)) :]
            np.testing.assert_array_equal(half, getattr(examples, field.name))


def test_an_episode_that_is_too_short_is_named(
    shown: list[Demonstration], tokenizer: Tokenizer
) -> None:
    """By its number and words."""
    with pytest.raises(RecordingError, match=r"episode 0 \('.*'\) has"):
        examples_of(shown, SPECIFICATION, PREPROCESSING, 16, tokenizer, 1000)
