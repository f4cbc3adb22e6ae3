"""Recordings as LeRobot and CALVIN data sets: equal numbers, and the layouts others read."""

from __future__ import annotations

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import av
import msgspec
import numpy as np
import pytest
from pyarrow import parquet

from dreamvla_edge.runtime.arms.kinematics import chain_of, forward
from dreamvla_edge.runtime.errors import RecordingError
from dreamvla_edge.runtime.recording.calvin import read_calvin, write_calvin
from dreamvla_edge.runtime.recording.demonstration import Demonstration, demonstrations
from dreamvla_edge.runtime.recording.lerobot import write_lerobot
from dreamvla_edge.runtime.recording.lerobot_reader import read_lerobot
from dreamvla_edge.runtime.recording.recorder import Recorder
from dreamvla_edge.runtime.recording.recording import Recording, open_recording
from recording.recordings import RATE_HZ, header, made, picture, random_step

PSNR_DB = 30.0
"""Of H.264 at crf 18 with halved colours, on pictures with hard coloured edges."""


def psnr_db(found: np.ndarray, given: np.ndarray) -> float:
    """Peak signal-to-noise ratio [dB] of 8-bit images."""
    error = np.mean((found.astype(float) - given) ** 2)
    return float(10 * np.log10(255**2 / error)) if error else np.inf


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> list[Recording]:
    """Two recordings with three episodes together."""
    folder = tmp_path_factory.mktemp("recordings")
    first, _ = made(folder / "a", steps=9, lossless=True, seed=1, resets=(4,))
    second, _ = made(folder / "b", steps=5, lossless=True, seed=2)
    return [first, second]


def assert_equal_numbers(found: tuple[Demonstration, ...], recordings: list[Recording]) -> None:
    """Tasks, states and actions are those of the recordings, bit for bit."""
    steps = [step for recording in recordings for step in recording.steps]
    assert [episode.task for episode in found] == ["task 0", "task 4", "task 0"]
    assert [len(episode) for episode in found] == [4, 5, 5]
    for name, kind in (("states", "state"), ("actions", "action")):
        values = np.concatenate([getattr(episode, name) for episode in found])
        assert values.dtype == np.float32
        assert values.tobytes() == np.stack([getattr(step, kind) for step in steps]).tobytes()


def test_lerobot_round_trip(recordings: list[Recording], tmp_path: Path) -> None:
    assert write_lerobot(recordings, tmp_path) == 3
    found = read_lerobot(tmp_path)
    assert_equal_numbers(found, recordings)
    given = [episode for recording in recordings for episode in demonstrations(recording)]
    for back, episode in zip(found, given, strict=True):
        for i in range(len(episode)):
            for role in ("primary", "wrist"):
                assert psnr_db(back.frame(role, i), episode.frame(role, i)) > PSNR_DB
    # The bound tells frames apart: a neighbour does not reach it.
    assert psnr_db(found[0].frame("primary", 0), given[0].frame("primary", 1)) < PSNR_DB


def test_lerobot_layout(recordings: list[Recording], tmp_path: Path) -> None:
    """What LeRobot v3.0 looks for: src/lerobot/datasets/{utils,dataset_metadata}.py."""
    write_lerobot(recordings, tmp_path)
    info = json.loads((tmp_path / "meta/info.json").read_text())
    assert info["codebase_version"] == "v3.0"
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (3, 14, 2)
    assert (info["fps"], info["robot_type"], info["splits"]) == (30, "so101", {"train": "0:3"})
    assert info["data_path"] == "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    features = info["features"]
    assert set(features) == {
        "observation.state",
        "action",
        "observation.images.primary",
        "observation.images.wrist",
        "timestamp",
        "frame_index",
        "episode_index",
        "index",
        "task_index",
    }
    assert features["action"]["names"] == ["x", "y", "z", "roll", "pitch", "yaw", "gripper"]
    assert features["observation.images.wrist"]["shape"] == [84, 84, 3]
    assert features["observation.images.wrist"]["info"]["video.codec"] == "h264"
    data = parquet.ParquetFile(tmp_path / "data/chunk-000/file-000.parquet")
    assert data.metadata.num_row_groups == 3  # one per episode
    table = data.read()
    for name, feature in features.items():
        if feature["dtype"] != "video":
            kind = table.schema.field(name).type
            if feature["shape"] != [1]:
                assert kind.list_size == feature["shape"][0]
                kind = kind.value_type
            assert (
                str(kind).replace("float", "float32") == feature["dtype"]
                or str(kind) == feature["dtype"]
            )
    assert table["index"].to_pylist() == list(range(14))
    assert table["episode_index"].to_pylist() == [0] * 4 + [1] * 5 + [2] * 5
    assert table["task_index"].to_pylist() == [0] * 4 + [1] * 5 + [0] * 5
    frame = np.array(table["frame_index"].to_pylist())
    expected = (frame / RATE_HZ).astype(np.float32)
    np.testing.assert_array_equal(table["timestamp"].to_numpy(), expected)
    episodes = parquet.read_table(tmp_path / "meta/episodes/chunk-000/file-000.parquet")
    rows = episodes.to_pylist()
    assert [row["tasks"] for row in rows] == [["task 0"], ["task 4"], ["task 0"]]
    assert [(row["dataset_from_index"], row["dataset_to_index"]) for row in rows] == [
        (0, 4),
        (4, 9),
        (9, 14),
    ]
    for row in rows:
        for key in ("observation.images.primary", "observation.images.wrist"):
            path = info["video_path"].format(
                video_key=key,
                chunk_index=row[f"videos/{key}/chunk_index"],
                file_index=row[f"videos/{key}/file_index"],
            )
            with av.open(str(tmp_path / path)) as video:
                times = [frame.time for frame in video.decode(video=0)]
            # LeRobot asks for the frame at this time, within 0.1 ms.
            np.testing.assert_allclose(times, np.arange(row["length"]) / RATE_HZ, atol=1e-4)
            span = row[f"videos/{key}/to_timestamp"] - row[f"videos/{key}/from_timestamp"]
            assert span == pytest.approx(row["length"] / RATE_HZ)
    pandas = json.loads(parquet.read_schema(tmp_path / "meta/tasks.parquet").metadata[b"pandas"])
    assert pandas["index_columns"] == ["task"]


def test_lerobot_statistics(recordings: list[Recording], tmp_path: Path) -> None:
    write_lerobot(recordings, tmp_path)
    stats = json.loads((tmp_path / "meta/stats.json").read_text())
    steps = [step for recording in recordings for step in recording.steps]
    actions = np.stack([step.action for step in steps]).astype(float)
    np.testing.assert_allclose(stats["action"]["mean"], actions.mean(0))
    np.testing.assert_allclose(stats["action"]["std"], actions.std(0), atol=1e-12)
    np.testing.assert_allclose(stats["action"]["q90"], np.quantile(actions, 0.9, axis=0))
    assert stats["action"]["count"] == [14]
    given = [episode for recording in recordings for episode in demonstrations(recording)]
    pixels = np.concatenate(
        [
            episode.frame("primary", i).reshape(-1, 3)
            for episode in given
            for i in range(len(episode))
        ]
    )
    found = stats["observation.images.primary"]
    assert np.shape(found["mean"]) == (3, 1, 1)
    np.testing.assert_allclose(np.ravel(found["mean"]), pixels.mean(0) / 255)
    np.testing.assert_allclose(np.ravel(found["std"]), pixels.std(0) / 255)
    np.testing.assert_allclose(np.ravel(found["min"]), pixels.min(0) / 255)
    np.testing.assert_allclose(np.ravel(found["max"]), pixels.max(0) / 255)
    median = np.quantile(pixels, 0.5, axis=0, method="inverted_cdf") / 255
    np.testing.assert_allclose(np.ravel(found["q50"]), median)
    rows = parquet.read_table(tmp_path / "meta/episodes").to_pylist()
    np.testing.assert_allclose(rows[1]["stats/action/max"], actions[4:9].max(0))


def test_calvin_round_trip(recordings: list[Recording], tmp_path: Path) -> None:
    assert write_calvin(recordings, tmp_path) == 3
    found = read_calvin(tmp_path)
    assert_equal_numbers(found, recordings)
    given = [episode for recording in recordings for episode in demonstrations(recording)]
    for back, episode in zip(found, given, strict=True):
        for i in range(len(episode)):
            for role in ("primary", "wrist"):
                np.testing.assert_array_equal(back.frame(role, i), episode.frame(role, i))


def test_calvin_layout(recordings: list[Recording], tmp_path: Path) -> None:
    """As mees/calvin, dataset/README.md, describes it, read as CALVIN's own tools do."""
    write_calvin(recordings, tmp_path)
    folder = tmp_path / "training"
    bounds = np.load(folder / "ep_start_end_ids.npy")
    assert bounds.tolist() == [[0, 3], [4, 8], [9, 13]]
    annotations = np.load(folder / "lang_annotations/auto_lang_ann.npy", allow_pickle=True).item()
    assert annotations["language"]["ann"] == ["task 0", "task 4", "task 0"]
    assert annotations["language"]["task"] == ["task_0", "task_4", "task_0"]
    assert annotations["info"]["indx"] == [(0, 3), (4, 8), (9, 13)]
    steps = [step for recording in recordings for step in recording.steps]
    chain = chain_of(recordings[0].header.arm)
    for number, step in enumerate(steps):
        with np.load(folder / f"episode_{number:07d}.npz") as file:
            assert file["rgb_static"].shape == (200, 200, 3)
            assert file["rgb_gripper"].shape == (84, 84, 3)
            assert file["rel_actions"].tobytes() == step.action.tobytes()
            assert file["robot_obs"].shape == (15,)
            np.testing.assert_array_equal(file["robot_obs"][:6], step.state[:6])
            assert file["robot_obs"][14] == step.state[6]
            assert file["robot_obs"][6] == pytest.approx(2 * 0.04 * 0.5)  # opening half
            target = forward(chain, step.joints[0])
            np.testing.assert_allclose(file["actions"][:3], target.position, atol=1e-12)
            assert file["actions"][6] == step.action[6]
    # The guardian's measurement of the moment of the step, not of its end.
    with np.load(folder / "episode_0000002.npz") as file:
        measured = recordings[0].reports["measured"]
        assert any(np.array_equal(file["robot_obs"][7:12], row[:5]) for row in measured[6:9])


def test_calvin_formula_for_other_specifications(tmp_path: Path) -> None:
    """rel_actions = clip(target - measured, ±0.02 m, ±0.05 rad), scaled to ±1."""
    own = header(lossless=True)
    action = own.specification.action
    doubled = tuple(msgspec.structs.replace(d, scale=2 * d.scale) for d in action.dimensions)
    other = msgspec.structs.replace(
        own.specification, action=msgspec.structs.replace(action, dimensions=doubled)
    )
    recorder = Recorder(tmp_path / "r", msgspec.structs.replace(own, specification=other))
    chain = chain_of(own.arm)
    joints = np.full((3, 5), 0.2)
    pose = forward(chain, joints[0])
    step = random_step(np.random.default_rng(0), 0, first=True)
    state = np.zeros(7, np.float32)
    state[:3] = pose.position - [0.01, -0.005, 0.3]
    recorder.step(replace(step, state=state, joints=joints))
    recorder.frame("primary", picture(0, 20, 20), step.primary_s)
    recorder.frame("wrist", picture(0, 20, 20), step.wrist_s)
    recorder.close()
    write_calvin([open_recording(tmp_path / "r")], tmp_path / "out")
    with np.load(tmp_path / "out/training/episode_0000000.npz") as file:
        np.testing.assert_allclose(file["rel_actions"][:3], [0.5, -0.25, 1.0], atol=1e-5)
        assert file["action"].tobytes() == step.action.tobytes()
        assert np.isnan(file["robot_obs"][7:12]).all()  # nothing was measured


class Planted:
    """A pickle that leaves a trace when it is opened."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        """What unpickling calls."""
        return os.mkdir, ("unpickled",)


def test_our_readers_never_unpickle(
    recordings: list[Recording], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_calvin(recordings, tmp_path / "out")
    annotations = tmp_path / "out/training/lang_annotations/auto_lang_ann.npy"
    annotations.write_bytes(pickle.dumps(Planted()))
    assert len(read_calvin(tmp_path / "out")) == 3
    bounds = tmp_path / "out/training/ep_start_end_ids.npy"
    np.save(bounds, np.array([Planted()]), allow_pickle=True)
    with pytest.raises(RecordingError):
        read_calvin(tmp_path / "out")
    assert not (tmp_path / "unpickled").exists()


def test_a_dropped_frame_is_the_one_before_and_is_counted(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "r", header(lossless=True))
    steps = [random_step(np.random.default_rng(0), number) for number in range(4)]
    for number, step in enumerate(steps):
        recorder.step(step)
        recorder.frame("wrist", picture(number, 20, 20), step.wrist_s)
        if number != 2:
            recorder.frame("primary", picture(number, 20, 20), step.primary_s)
    recorder.close()
    (episode,) = demonstrations(open_recording(tmp_path / "r"))
    assert episode.repeated == 1
    np.testing.assert_array_equal(episode.frame("primary", 2), picture(1, 20, 20))
    np.testing.assert_array_equal(episode.frame("primary", 3), picture(3, 20, 20))


def test_odd_sizes_can_be_a_video(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "r", header(lossless=True))
    step = random_step(np.random.default_rng(0), 0)
    recorder.step(step)
    recorder.frame("primary", picture(0, 45, 61), step.primary_s)
    recorder.frame("wrist", picture(0, 44, 61), step.wrist_s)
    recorder.close()
    write_lerobot([open_recording(tmp_path / "r")], tmp_path / "out")
    (episode,) = read_lerobot(tmp_path / "out")
    assert psnr_db(episode.frame("primary", 0), picture(0, 45, 61)) > PSNR_DB


def test_different_specifications_do_not_mix(recordings: list[Recording], tmp_path: Path) -> None:
    other = Recorder(tmp_path / "r", header(data_set="libero"))
    other.step(random_step(np.random.default_rng(0), 0))
    other.close()
    mixed = [*recordings, open_recording(tmp_path / "r")]
    for write in (write_lerobot, write_calvin):
        with pytest.raises(RecordingError, match="libero"):
            write(mixed, tmp_path / "out")


def test_an_empty_recording_cannot_be_exported(tmp_path: Path) -> None:
    Recorder(tmp_path / "r", header()).close()
    with pytest.raises(RecordingError, match="no step"):
        write_lerobot([open_recording(tmp_path / "r")], tmp_path / "out")
