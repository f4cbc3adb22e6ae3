"""`dreamvla dream`: what is drawn is what the heads said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from commands import cure_of, document, dreamvla
from dreamvla_edge.cli.dream_picture import AHEAD, Dreams, cut, drawn, joined, normalised
from dreamvla_edge.model.losses import patch_pixels
from dreamvla_edge.runtime.policy import Policy
from dreamvla_edge.runtime.preprocess import Preprocessing
from dreamvla_edge.runtime.recording.demonstration import demonstrations
from dreamvla_edge.runtime.recording.recording import open_recording
from dreamvla_edge.runtime.recording.video import probe
from dreamvla_edge.sim.demo import IMAGE
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.scene.views import Views
from dreamvla_edge.sim.tasks import FAMILIES
from dreamvla_edge.sim.teach import teach


@pytest.fixture(scope="module")
def recording(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The expert pushes."""
    folder = tmp_path_factory.mktemp("taught") / "push-4"
    with Views(scene, IMAGE) as views:
        teach(scene, views, FAMILIES["push"], 4, folder)
    return folder


def made(random: np.random.Generator, heads: dict[str, np.ndarray] | None = None) -> Dreams:
    """Three steps of noise in which some patches move."""
    now, came = random.integers(0, 256, (2, 3, 2, 32, 32, 3)).astype(np.uint8)
    moves = random.random((3, 2, 4)) < 0.5
    right = normalised(cut(came, 16))[0]
    return Dreams(now, came, moves, heads or {"image": right}, Preprocessing(size=32))


def test_patches_are_those_of_training() -> None:
    """The loss's own targets; scale and offset of the pixels do not matter for them."""
    frames = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    found = normalised(cut(frames, 16))[0]
    images = torch.from_numpy(frames).permute(0, 3, 1, 2).float()
    np.testing.assert_allclose(found, patch_pixels(images, 16), atol=1e-5)
    np.testing.assert_array_equal(joined(cut(frames, 16), 32), frames)


def test_one_who_knows_expects_what_came() -> None:
    """Where it moves; elsewhere the frame stays as it is."""
    dreams = made(np.random.default_rng(1))
    expected, moves = cut(dreams.expected(), 16), dreams.moves
    assert np.abs(expected[moves] - cut(dreams.came, 16)[moves]).max() <= 1  # whole grey levels
    np.testing.assert_array_equal(expected[~moves], cut(dreams.now, 16)[~moves])
    error, still = dreams.image_error()
    assert error == pytest.approx(0, abs=1e-9) and still > 1


def test_one_who_says_nothing_is_wrong_by_one() -> None:
    """Patches have deviation 1."""
    dreams = made(np.random.default_rng(2), {"image": np.zeros((3, 2, 4, 768), np.float32)})
    assert dreams.image_error()[0] == pytest.approx(1, abs=2e-3)


def test_near_is_bright_and_like_is_like() -> None:
    """A slope of depth gets darker; two kinds of features get two colours."""
    random = np.random.default_rng(3)
    depth = np.broadcast_to(np.linspace(0.2, 1.0, 4)[:, None], (3, 2, 4, 256)).astype(np.float32)
    kinds = np.eye(9, dtype=np.float32)[[0, 0, 5, 5]]
    right = normalised(cut(random.integers(0, 256, (3, 2, 32, 32, 3)).astype(np.uint8), 16))[0]
    heads = {"image": right, "depth": depth, "sam": np.broadcast_to(kinds, (3, 2, 4, 9))}
    picture = drawn(made(random, heads))[0]
    assert picture.shape == (2 * 196, 5 * 196, 3)
    grey, colour = picture[:192, 3 * 196 : 3 * 196 + 192], picture[:192, 4 * 196 : 4 * 196 + 192]
    assert grey[40, 40, 0] > grey[40, 150, 0] > grey[150, 40, 0] > grey[150, 150, 0]
    assert (colour[40, 40] == colour[40, 150]).all() and (colour[40, 40] != colour[150, 40]).any()


def test_the_command(untrained: Path, recording: Path, tmp_path: Path) -> None:
    """Through the exported heads, for every step that has one AHEAD steps later."""
    done = dreamvla("dream", untrained, recording, "-o", tmp_path / "dream", "--json")
    assert done.returncode == 0, done.stderr
    said = document(done)
    (shown,) = demonstrations(open_recording(recording))
    assert said["steps"] == len(shown) - AHEAD and said["heads"] == ["image", "depth", "sam"]
    video, picture = probe(Path(said["video"])), Image.open(said["picture"])
    assert (video.width, video.height) == (5 * 196, 2 * 196) and picture.width == 5 * 196
    # An untrained head is no better than one who says nothing.
    assert said["image_error"] > 0.9 and said["image_error_of_staying"] > 0
    with Policy(untrained) as policy:
        dreams = Dreams.of(policy, shown)
        policy.reset(shown.task)
        for i in range(6):
            policy.observe(shown.frame("primary", i), shown.frame("wrist", i), shown.states[i])
        alone = policy.dream()
    np.testing.assert_array_equal(dreams.now[5, 1], shown.frame("wrist", 5))
    np.testing.assert_array_equal(dreams.came[5, 0], shown.frame("primary", 5 + AHEAD))
    for name, values in alone.items():
        np.testing.assert_allclose(dreams.heads[name][5], values, atol=1e-5)
    assert dreams.image_error()[0] == pytest.approx(said["image_error"], rel=1e-4)
    again = dreamvla("dream", untrained, recording, "-o", tmp_path / "dream")
    assert again.returncode == 9 and "exists" in cure_of(again.stderr)[0]


def test_an_episode_that_there_is_not(untrained: Path, recording: Path, tmp_path: Path) -> None:
    """It says how many there are."""
    done = dreamvla("dream", untrained, recording, "-o", tmp_path / "dream", "--episode", 1)
    assert done.returncode == 2 and "episode 1 of 1" in cure_of(done.stderr)[0]
    assert not (tmp_path / "dream").exists()
