"""Bad data is refused with file, frame and field; the good data beside it passes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
from msgspec.structs import replace as changed
from pyarrow.compute import field

from dreamvla_edge.calibrate.data import Moment, episodes, moments, require_plausible
from dreamvla_edge.runtime.bundle import Bundle
from dreamvla_edge.runtime.errors import DataError, RecordingError
from dreamvla_edge.runtime.recording.calvin import write_calvin
from dreamvla_edge.runtime.recording.demonstration import Demonstration
from dreamvla_edge.runtime.recording.frames import ROLES
from dreamvla_edge.runtime.recording.lerobot import VIDEO_KEYS, write_lerobot
from dreamvla_edge.runtime.recording.recording import open_recording
from dreamvla_edge.runtime.specification import Specification


@pytest.fixture(scope="module")
def specification(shipped: Bundle) -> Specification:
    """Of the bundle that is calibrated."""
    return shipped.manifest.specification


@pytest.fixture
def good(recordings: Path, specification: Specification) -> tuple[Demonstration, ...]:
    """Data as it should be."""
    return episodes(recordings, specification)


def every(shown: tuple[Demonstration, ...], specification: Specification) -> list[Moment]:
    """All checks."""
    require_plausible(shown, Path("here"))
    return list(moments(shown, Path("here"), specification))


def test_good_data_passes(good: tuple[Demonstration, ...], specification: Specification) -> None:
    """Every frame of all episodes, each beginning with its instruction."""
    found = every(good, specification)
    assert len(found) == sum(map(len, good)) and sum(m.first for m in found) == len(good) == 5
    np.testing.assert_array_equal(found[3].state, good[0].states[3])
    np.testing.assert_array_equal(found[3].wrist, good[0].frame("wrist", 3))


@pytest.mark.parametrize("write", [write_calvin, write_lerobot])
def test_data_sets_and_single_recordings(
    write: Callable[[Any, Path], Any],
    recordings: Path,
    good: tuple[Demonstration, ...],
    specification: Specification,
    tmp_path: Path,
) -> None:
    """Are read by what lies there, with the same states."""
    folders = sorted(recordings.iterdir())
    write([open_recording(folder) for folder in folders], tmp_path)
    found = episodes(tmp_path, specification)
    for one, other in zip(found, good, strict=True):
        np.testing.assert_array_equal(one.states, other.states)
        assert one.task == other.task
    (alone,) = episodes(folders[0], specification)
    np.testing.assert_array_equal(alone.states, good[0].states)


def as_version_2(new: Path, old: Path) -> None:
    """The same data set as LeRobot 0.3 laid it out, without any of our own files."""
    info = json.loads((new / "meta/info.json").read_text())
    episodes = parquet.read_table(new / "meta/episodes").to_pylist()
    rows = parquet.read_table(new / "data")
    (old / "meta").mkdir(parents=True)
    info |= {
        "codebase_version": "v2.1",
        "chunks_size": 2,
        "data_path": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
        "video_path": "videos/chunk-{episode_chunk:03d}/{video_key}"
        "/episode_{episode_index:06d}.mp4",
    }
    (old / "meta/info.json").write_text(json.dumps(info))
    tasks = parquet.read_table(new / "meta/tasks.parquet").to_pylist()
    lines = [json.dumps({"task_index": r["task_index"], "task": r["task"]}) for r in tasks]
    (old / "meta/tasks.jsonl").write_text("\n".join(lines) + "\n")
    with (old / "meta/episodes.jsonl").open("w") as file:
        for row in episodes:
            index = row["episode_index"]
            print(
                json.dumps(
                    {"episode_index": index, "tasks": row["tasks"], "length": row["length"]}
                ),
                file=file,
            )
            place = {"episode_chunk": index // 2, "episode_index": index}
            data = old / info["data_path"].format(**place)
            data.parent.mkdir(parents=True, exist_ok=True)
            parquet.write_table(rows.filter(field("episode_index") == index), data)
            for key in VIDEO_KEYS.values():
                video = old / info["video_path"].format(video_key=key, **place)
                video.parent.mkdir(parents=True, exist_ok=True)
                number = row[f"videos/{key}/file_index"]
                shutil.copy(new / f"videos/{key}/chunk-000/file-{number:03d}.mp4", video)


def test_lerobot_version_2(recordings: Path, specification: Specification, tmp_path: Path) -> None:
    """The same numbers, words and pictures, with nothing that says what they mean."""
    write_lerobot([open_recording(f) for f in sorted(recordings.iterdir())], tmp_path / "new")
    as_version_2(tmp_path / "new", tmp_path / "old")
    found = episodes(tmp_path / "old", specification)
    wanted = episodes(tmp_path / "new", specification)
    assert len(found) == len(wanted) == 5
    for one, other in zip(found, wanted, strict=True):
        assert one.task == other.task
        np.testing.assert_array_equal(one.states, other.states)
        np.testing.assert_array_equal(one.actions, other.actions)
        for role in ROLES:
            np.testing.assert_array_equal(one.frame(role, 4), other.frame(role, 4))
    assert every(found, specification)


def test_lerobot_of_other_cameras(
    recordings: Path, specification: Specification, tmp_path: Path
) -> None:
    """The videos that are there are named, and so is what to do."""
    write_lerobot([open_recording(sorted(recordings.iterdir())[0])], tmp_path)
    path = tmp_path / "meta/info.json"
    path.write_text(path.read_text().replace("observation.images.wrist", "observation.images.up"))
    with pytest.raises(RecordingError, match=r"no video observation.images.wrist, but .*images.up"):
        episodes(tmp_path, specification)


def test_nothing(tmp_path: Path, specification: Specification) -> None:
    """An empty folder, and one that is not there."""
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DataError, match="nothing in"):
            episodes(path, specification)


def test_cameras_that_are_swapped(
    good: tuple[Demonstration, ...], specification: Specification
) -> None:
    """Told from how much of the picture stands still."""
    names: dict[Any, Any] = {"primary": "wrist", "wrist": "primary"}
    swapped = tuple(replace(e, frame=lambda role, i, e=e: e.frame(names[role], i)) for e in good)
    with pytest.raises(DataError, match=r"here, episode \d+, frame \d+: `primary` moves more"):
        every(swapped, specification)


@pytest.mark.parametrize("role", ["primary", "wrist"])
def test_one_constant_picture(
    role: str, good: tuple[Demonstration, ...], specification: Specification
) -> None:
    """A camera that hangs."""
    hung = tuple(
        replace(e, frame=lambda r, i, e=e: good[0].frame(role, 0) if r == role else e.frame(r, i))
        for e in good
    )
    with pytest.raises(DataError, match=f"frame 1: `{role}` is one picture all the time"):
        every(hung, specification)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_state_that_is_not_finite(
    bad: float, good: tuple[Demonstration, ...], specification: Specification
) -> None:
    """With its place."""
    states = good[2].states.copy()
    states[4, 1] = bad
    broken = (*good[:2], replace(good[2], states=states), *good[3:])
    with pytest.raises(DataError, match=r"episode 2, frame 4: field `state`.*not finite at \(1,\)"):
        every(broken, specification)


def test_states_of_another_arm(
    good: tuple[Demonstration, ...], specification: Specification, recordings: Path
) -> None:
    """Of another size, in degrees, or with other names."""
    longer = tuple(replace(e, states=np.pad(e.states, ((0, 0), (0, 1)))) for e in good)
    with pytest.raises(DataError, match=r"frame 0: field `state`: a state of shape \(8,\)"):
        every(longer, specification)
    degrees = tuple(replace(e, states=np.degrees(e.states)) for e in good)
    with pytest.raises(DataError, match="field `state` is .* in the network's units"):
        every(degrees, specification)
    first, *rest = specification.state.dimensions
    other = changed(first, name="base")
    state = changed(specification.state, dimensions=(other, *rest))
    with pytest.raises(DataError, match="the field `state` is that of 'demo'"):
        episodes(recordings, changed(specification, state=state))


def test_pictures_of_another_size(
    good: tuple[Demonstration, ...], specification: Specification
) -> None:
    """With the field's name."""
    small = tuple(replace(e, frame=lambda r, i, e=e: e.frame(r, i)[::2]) for e in good)
    with pytest.raises(
        DataError, match=r"frame 0: field `primary` is uint8 of shape \(48, 96, 3\)"
    ):
        list(moments(small, Path("here"), specification))
