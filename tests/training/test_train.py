"""`dreamvla train`: from recordings and a checkpoint to weights that export reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from commands import cure_of, document, dreamvla
from dreamvla_edge.export.data_set import DataSet, ModelHints, as_toml, load_data_set
from dreamvla_edge.model.checkpoint import load_network
from dreamvla_edge.model.sizes import Hints
from dreamvla_edge.model.synthetic import random_state
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.recording.calvin import write_calvin
from dreamvla_edge.runtime.recording.lerobot import write_lerobot
from dreamvla_edge.runtime.recording.recording import open_recording
from dreamvla_edge.sim.demo import ARM, IMAGE, SPECIFICATION
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.scene.views import Views
from dreamvla_edge.sim.tasks import FAMILIES
from dreamvla_edge.sim.teach import teach
from dreamvla_edge.train.weights import write_weights
from training.tiny import NETWORK

HINTS = ModelHints(heads=1, text_heads=1, dream_heads=1, guidance=1.0)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small checkpoint, its data-set file and a data set of either layout."""
    folder = tmp_path_factory.mktemp("train")
    write_weights(random_state(NETWORK), folder / "checkpoint.safetensors")
    (folder / "own.toml").write_text(as_toml(DataSet(specification=SPECIFICATION, model=HINTS)))
    scene = Scene(load_description(ARM))
    with Views(scene, IMAGE) as views:
        for seed in (1, 2):
            teach(scene, views, FAMILIES["touch"], seed, folder / f"touch-{seed}")
    recordings = [open_recording(folder / f"touch-{seed}") for seed in (1, 2)]
    for layout, write in (("calvin", write_calvin), ("lerobot", write_lerobot)):
        (folder / layout).mkdir()
        write(recordings, folder / layout)
    return folder


def arguments(place: Path, layout: str, output: Path) -> list[object]:
    """A short run."""
    return [
        *("train", place / layout, "--from", place / "checkpoint.safetensors"),
        *("--data-set", place / "own.toml", "-o", output, "--steps", 20, "--windows", 4, "--json"),
    ]


def test_a_data_set_file_says_the_same_again(tmp_path: Path) -> None:
    """Those that are shipped, too."""
    for name in ("calvin", "libero"):
        data_set = load_data_set(name)
        (tmp_path / "again.toml").write_text(as_toml(data_set))
        assert load_data_set(tmp_path / "again.toml") == data_set


@pytest.mark.parametrize("layout", ["lerobot", pytest.param("calvin", marks=pytest.mark.slow)])
def test_weights_and_data_set_file(place: Path, layout: str, tmp_path: Path) -> None:
    """All weights but those of the text tower and of dreams without a target have changed."""
    done = dreamvla(*arguments(place, layout, tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    said = document(done)
    assert said["steps"] == 20 and said["frames"] > 15
    found = load_data_set(said["data_set"])
    assert found.specification == SPECIFICATION and found.model == HINTS
    network = load_network(said["weights"], Hints(1, None, None, 1, 1))
    assert network.config.window == NETWORK.window
    before, after = load_file(place / "checkpoint.safetensors"), load_file(said["weights"])
    still = {name for name in before if (before[name] == after[name]).all()}
    kept = ("clip_model.", "depth_", "sam_", "attention_mask")
    assert {name for name in before if not name.startswith(kept)}.isdisjoint(still)
    assert {name for name in before if name.startswith("clip_model.")} <= still
    assert np.asarray(Image.open(said["curves"])).std() > 5
    (line,) = (tmp_path / "out" / "log.jsonl").read_text().splitlines()
    assert set(json.loads(line)) == {"step", "loss", "action", "image", "steps_per_s"}


@pytest.mark.slow
def test_it_can_be_exported(place: Path, tmp_path: Path) -> None:
    """Weights and data-set file are all that it takes."""
    trained = dreamvla(*arguments(place, "calvin", tmp_path / "out"))
    said = document(trained)
    done = dreamvla(
        *("export", said["weights"], "--data-set", said["data_set"], "-o", tmp_path / "bundle")
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_another_run_in_the_same_folder_is_refused(place: Path, tmp_path: Path) -> None:
    """It says what is there; the same run has nothing left to do and gives the same weights."""
    wanted = arguments(place, "calvin", tmp_path / "out")
    first = document(dreamvla(*wanted))
    weights = Path(first["weights"]).read_bytes()
    again = dreamvla(*wanted)
    assert again.returncode == 0 and Path(first["weights"]).read_bytes() == weights
    refused = dreamvla(*wanted, "--seed", 3)
    assert refused.returncode == 9 and "another plan" in cure_of(refused.stderr)[0]


@pytest.mark.parametrize("missing", ["meta", "nothing"])
def test_a_folder_that_is_no_data_set(place: Path, missing: str, tmp_path: Path) -> None:
    """The error says what was looked for."""
    folder = tmp_path / "data"
    folder.mkdir()
    if missing == "meta":
        (folder / "meta").mkdir()
        (folder / "meta" / "info.json").write_text("{}")
    wanted = arguments(place, "calvin", tmp_path / "out")
    wanted[1] = folder
    done = dreamvla(*wanted)
    assert done.returncode == 15
    assert "dreamvla record export" in cure_of(done.stderr)[2]
    assert not (tmp_path / "out").exists()
