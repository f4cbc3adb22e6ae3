"""LeRobot's data-set layout, version 3.0, written without LeRobot.

The layout is that of huggingface/lerobot, `src/lerobot/datasets` (`utils.py`, `dataset_writer.py`,
`dataset_metadata.py`, `compute_stats.py`): numbers in Parquet with one row group per episode,
frames in one MP4 per camera and episode, `meta/` saying where each episode lies.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.specification import Specification

from .demonstration import Demonstration, demonstrations, require_alike
from .frames import ROLES, Image, Role
from .recording import Recording
from .statistics import column_statistics, picture_statistics
from .tables import columns_table, tasks_table
from .video import probe, write_video

CODEBASE_VERSION = "v3.0"
FILES_PER_CHUNK = 1000
_FILE = "chunk-{chunk_index:03d}/file-{file_index:03d}"
_DATA_PATH = f"data/{_FILE}.parquet"
_VIDEO_PATH = f"videos/{{video_key}}/{_FILE}.mp4"
_EPISODES_PATH = f"meta/episodes/{_FILE}.parquet"
TASKS_PATH = "meta/tasks.parquet"
SPECIFICATION_PATH = "meta/dreamvla_specification.json"
_SAMPLES = 100
"""Frames of an episode that its statistics look at, at most."""

VIDEO_KEYS: Mapping[Role, str] = {role: f"observation.images.{role}" for role in ROLES}
_INDICES = ("timestamp", "frame_index", "episode_index", "index", "task_index")


def write_lerobot(recordings: Sequence[Recording], output: Path) -> int:
    """Writes the episodes of all recordings as one data set; the number of episodes.

    output: an empty folder. Actions and states are those of the recordings, bit for bit; what
    they mean stands beside them in meta/dreamvla_specification.json. Raises RecordingError.
    """
    import pyarrow
    import pyarrow.parquet as parquet

    require_alike(recordings)
    header = recordings[0].header
    found = [episode for recording in recordings for episode in demonstrations(recording)]
    tasks = list(dict.fromkeys(episode.task for episode in found))
    data = _columns(found, tasks, header.rate_hz)
    table = columns_table(data)
    path = _made(output / _DATA_PATH.format(chunk_index=0, file_index=0))
    rows, start = [], 0
    pictures = []
    with parquet.ParquetWriter(path, table.schema, compression="snappy") as writer:
        for index, episode in enumerate(found):
            end = start + len(episode)
            writer.write_table(table.slice(start, len(episode)))
            counts = _write_videos(episode, index, header.rate_hz, output)
            pictures.append(counts)
            stats = {name: column_statistics(column[start:end]) for name, column in data.items()}
            stats |= {key: picture_statistics(count) for key, count in counts.items()}
            rows.append(_episode_row(index, episode, start, header.rate_hz, stats))
            start = end
    episodes_path = _made(output / _EPISODES_PATH.format(chunk_index=0, file_index=0))
    parquet.write_table(pyarrow.Table.from_pylist(rows), episodes_path)
    parquet.write_table(tasks_table(tasks), output / TASKS_PATH)
    whole = {name: column_statistics(column) for name, column in data.items()}
    for key in VIDEO_KEYS.values():
        whole[key] = picture_statistics(sum((c[key] for c in pictures), np.zeros((3, 256), int)))
    _write_json(output / "meta/stats.json", whole)
    _write_json(output / "meta/info.json", _info(recordings[0], found, tasks, output))
    _write_json(output / SPECIFICATION_PATH, msgspec.to_builtins(header.specification))
    return len(found)


def _columns(
    found: Sequence[Demonstration], tasks: Sequence[str], rate_hz: float
) -> dict[str, NDArray[Any]]:
    """The numbers of all episodes: name -> (n,) or (n, width)."""
    lengths = [len(episode) for episode in found]
    frames = np.concatenate([np.arange(length) for length in lengths])
    return {
        "observation.state": np.concatenate([episode.states for episode in found]),
        "action": np.concatenate([episode.actions for episode in found]),
        "timestamp": (frames / rate_hz).astype(np.float32),
        "frame_index": frames.astype(np.int64),
        "episode_index": np.repeat(np.arange(len(found)), lengths).astype(np.int64),
        "index": np.arange(sum(lengths), dtype=np.int64),
        "task_index": np.repeat([tasks.index(e.task) for e in found], lengths).astype(np.int64),
    }


def _write_videos(
    episode: Demonstration, index: int, rate_hz: float, output: Path
) -> dict[str, NDArray[np.int64]]:
    """One video per camera; by key how often each channel has each value in sampled frames."""
    sampled = set(np.linspace(0, len(episode) - 1, min(len(episode), _SAMPLES)).round().astype(int))
    counts = {}
    for role, key in VIDEO_KEYS.items():
        count = np.zeros((3, 256), np.int64)

        def images(role: Role = role, count: NDArray[np.int64] = count) -> Iterator[Image]:
            for i in range(len(episode)):
                image = episode.frame(role, i)
                if i in sampled:
                    for channel in range(3):
                        count[channel] += np.bincount(image[..., channel].ravel(), minlength=256)
                yield image

        path = _VIDEO_PATH.format(video_key=key, **_place(index))
        write_video(_made(output / path), images(), rate_hz)
        counts[key] = count
    return counts


def _place(episode: int) -> dict[str, int]:
    return {"chunk_index": episode // FILES_PER_CHUNK, "file_index": episode % FILES_PER_CHUNK}


def _episode_row(
    index: int, episode: Demonstration, start: int, rate_hz: float, stats: Mapping[str, Any]
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "episode_index": index,
        "tasks": [episode.task],
        "length": len(episode),
        "data/chunk_index": 0,
        "data/file_index": 0,
        "dataset_from_index": start,
        "dataset_to_index": start + len(episode),
        "meta/episodes/chunk_index": 0,
        "meta/episodes/file_index": 0,
    }
    for key in VIDEO_KEYS.values():
        row |= {f"videos/{key}/{name}": value for name, value in _place(index).items()}
        row[f"videos/{key}/from_timestamp"] = 0.0
        row[f"videos/{key}/to_timestamp"] = len(episode) / rate_hz
    for feature, values in stats.items():
        row |= {f"stats/{feature}/{name}": value for name, value in values.items()}
    return row


def _info(
    recording: Recording, found: Sequence[Demonstration], tasks: Sequence[str], output: Path
) -> dict[str, Any]:
    specification, rate_hz = recording.header.specification, recording.header.rate_hz
    fps = int(rate_hz) if rate_hz == int(rate_hz) else rate_hz
    names = _names(specification)
    features: dict[str, Any] = {
        name: {"dtype": "float32", "shape": [len(names[name])], "names": names[name]}
        for name in names
    }
    for key in VIDEO_KEYS.values():
        info = probe(output / _VIDEO_PATH.format(video_key=key, **_place(0)))
        features[key] = {
            "dtype": "video",
            "shape": [info.height, info.width, 3],
            "names": ["height", "width", "channels"],
            "info": {
                "video.height": info.height,
                "video.width": info.width,
                "video.codec": info.codec,
                "video.pix_fmt": info.pixel_format,
                "video.is_depth_map": False,
                "video.fps": fps,
                "video.channels": 3,
                "has_audio": False,
            },
        }
    for name in _INDICES:
        dtype = "float32" if name == "timestamp" else "int64"
        features[name] = {"dtype": dtype, "shape": [1], "names": None}
    return {
        "codebase_version": CODEBASE_VERSION,
        "robot_type": recording.header.arm.name,
        "total_episodes": len(found),
        "total_frames": sum(map(len, found)),
        "total_tasks": len(tasks),
        "chunks_size": FILES_PER_CHUNK,
        "data_files_size_in_mb": 100,
        "video_files_size_in_mb": 200,
        "fps": fps,
        "splits": {"train": f"0:{len(found)}"},
        "data_path": _DATA_PATH,
        "video_path": _VIDEO_PATH,
        "features": features,
    }


def _names(specification: Specification) -> dict[str, list[str]]:
    state = [dimension.name for dimension in specification.state.dimensions]
    fingers = specification.state.gripper == "fingers"
    return {
        "observation.state": [*state, *(["finger_1", "finger_2"] if fingers else ["gripper"])],
        "action": [*(dimension.name for dimension in specification.action.dimensions), "gripper"],
    }


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    _made(path).write_text(json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False))
