"""CALVIN's own frames and LIBERO's files, written here as their documentation has them."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from dreamvla_edge.calibrate.data import episodes, moments
from dreamvla_edge.export.data_set import load_data_set
from dreamvla_edge.runtime.errors import DataError
from dreamvla_edge.runtime.rotation import matrix_from_axis_angle, matrix_from_euler


@pytest.fixture
def random() -> np.random.Generator:
    """Of a test."""
    return np.random.default_rng(0)


@pytest.fixture
def calvin(tmp_path: Path, random: np.random.Generator) -> Path:
    """Two sequences, the second longer than an episode of ours."""
    folder = tmp_path / "task_D" / "training"
    folder.mkdir(parents=True)
    np.save(folder / "ep_start_end_ids.npy", np.array([[10, 14], [20, 99]]))
    for number in (*range(10, 15), *range(20, 100)):
        np.savez(
            folder / f"episode_{number:07d}.npz",
            robot_obs=np.array([*(random.normal(0, 0.3, 14)), 1.0 if number % 2 else -1.0]),
            rgb_static=random.integers(0, 255, (200, 200, 3), np.uint8),
            rgb_gripper=random.integers(0, 255, (84, 84, 3), np.uint8),
        )
    return tmp_path / "task_D"


@pytest.fixture
def libero(tmp_path: Path, random: np.random.Generator) -> Path:
    """A file with two demonstrations."""
    path = tmp_path / "pick_up_the_bowl_demo.hdf5"
    with h5py.File(path, "w") as file:
        data = file.create_group("data")
        data.attrs["problem_info"] = json.dumps({"language_instruction": "pick up the bowl"})
        for number in range(2):
            demo = data.create_group(f"demo_{number}")
            demo["actions"] = np.sign(random.normal(size=(6, 7)))
            obs = demo.create_group("obs")
            obs["ee_pos"] = random.normal(0, 0.3, (6, 3))
            obs["ee_ori"] = random.normal(0, 0.8, (6, 3))
            obs["gripper_states"] = random.normal(0, 0.02, (6, 2))
            for name in ("agentview_rgb", "eye_in_hand_rgb"):
                obs[name] = random.integers(0, 255, (6, 128, 128, 3), np.uint8)
    return path


def test_calvins_frames(calvin: Path) -> None:
    """The state is the pose and the last command; a long sequence is cut."""
    specification = load_data_set("calvin").specification
    shown = episodes(calvin, specification, "open the drawer")
    assert [len(e) for e in shown] == [5, 64]
    found = list(moments(shown, calvin, specification))
    with np.load(calvin / "training" / "episode_0000012.npz") as file:
        np.testing.assert_allclose(found[2].state[:6], file["robot_obs"][:6], rtol=1e-6)
        assert found[2].state[6] == file["robot_obs"][14]
        np.testing.assert_array_equal(found[2].primary, file["rgb_static"])
        np.testing.assert_array_equal(found[2].wrist, file["rgb_gripper"])
    assert found[0].first and found[5].first and found[5].instruction == "open the drawer"


def test_calvin_without_words(calvin: Path) -> None:
    """Its pickle is not opened."""
    with pytest.raises(DataError, match="--instruction"):
        episodes(calvin, load_data_set("calvin").specification)


def test_a_frame_that_is_missing(calvin: Path) -> None:
    """Is named."""
    (calvin / "training" / "episode_0000012.npz").unlink()
    with pytest.raises(DataError, match=r"episode_0000012.npz: field `robot_obs`"):
        episodes(calvin, load_data_set("calvin").specification, "open the drawer")


def test_libero(libero: Path) -> None:
    """Orientation as angles about fixed axes; both fingers."""
    specification = load_data_set("libero").specification
    shown = episodes(libero, specification)
    found = list(moments(shown, libero, specification))
    assert len(found) == 12 and found[0].instruction == "pick up the bowl"
    with h5py.File(libero) as file:
        seen = file["data/demo_1/obs"]
        state = found[8].state
        np.testing.assert_allclose(state[:3], seen["ee_pos"][2], rtol=1e-5)
        turned = matrix_from_axis_angle(seen["ee_ori"][2])
        np.testing.assert_allclose(matrix_from_euler(state[3:6]), turned, atol=1e-5)
        np.testing.assert_allclose(state[6:], seen["gripper_states"][2], rtol=1e-5)
        np.testing.assert_array_equal(found[8].wrist, seen["eye_in_hand_rgb"][2])
    assert [len(e) for e in episodes(libero.parent, specification)] == [6, 6]


def test_a_file_of_something_else(tmp_path: Path) -> None:
    """HDF5 or not."""
    specification = load_data_set("libero").specification
    (tmp_path / "a.hdf5").write_bytes(b"nothing")
    with pytest.raises(DataError, match="a.hdf5 cannot be read"):
        episodes(tmp_path, specification)
    with h5py.File(tmp_path / "a.hdf5", "w") as file:
        file.create_group("other")
    with pytest.raises(DataError, match="a.hdf5 cannot be read"):
        episodes(tmp_path, specification)
