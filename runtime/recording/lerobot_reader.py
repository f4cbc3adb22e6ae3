"""LeRobot's data-set layouts, versions 2.0, 2.1 and 3.0, read without LeRobot.

Version 3 (`lerobot.py`) keeps many episodes in a file and says in `meta/episodes` where each lies;
version 2 has a Parquet file and videos for each episode, whose paths follow from its number, and
`meta/episodes.jsonl` and `meta/tasks.jsonl` (huggingface/lerobot at v0.3.3,
`src/lerobot/datasets/utils.py`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.errors import RecordingError
from dreamvla_edge.runtime.specification import Specification

from .demonstration import Demonstration
from .frames import Image, Role
from .lerobot import SPECIFICATION_PATH, TASKS_PATH, VIDEO_KEYS
from .video import read_video


class _Place(NamedTuple):
    """Where an episode lies: its number, its Parquet file, and by camera a video and its start."""

    episode: int
    data: str
    videos: Mapping[Role, tuple[str, float]]


def read_lerobot(folder: Path) -> tuple[Demonstration, ...]:
    """The episodes of a data set with the cameras of VIDEO_KEYS. Raises RecordingError."""
    import pyarrow

    try:
        info = json.loads((folder / "meta/info.json").read_text())
        layout = _LAYOUTS.get(info["codebase_version"])
        if layout is None:
            raise ValueError(f"codebase_version {info['codebase_version']!r}")
        missing = [key for key in VIDEO_KEYS.values() if key not in info["features"]]
        if missing:
            has = [key for key in info["features"] if key.startswith("observation.images.")]
            raise ValueError(f"no video {missing[0]}, but {', '.join(has) or 'none'}")
        places, tasks = layout(folder, info)
        return tuple(_episode(folder, info["fps"], place, tasks) for place in places)
    except (OSError, KeyError, ValueError, pyarrow.ArrowException) as error:
        raise RecordingError(
            f"{folder} cannot be read ({error})",
            f"a LeRobot data set {', '.join(_LAYOUTS)} with the videos "
            + " and ".join(VIDEO_KEYS.values()),
            "rename its videos, or make one with `dreamvla record export RECORDING --format"
            " lerobot -o FOLDER`",
        ) from error


def read_specification(folder: Path) -> Specification:
    """What the numbers of a data set that `write_lerobot` wrote mean. Raises RecordingError."""
    try:
        text = (folder / SPECIFICATION_PATH).read_bytes()
        return msgspec.json.decode(text, type=Specification)
    except (OSError, msgspec.DecodeError) as error:
        raise RecordingError(
            f"{folder} does not say what its numbers mean ({error})",
            f"{SPECIFICATION_PATH}, as dreamvla-edge writes it",
            "make one with `dreamvla record export RECORDING --format lerobot -o FOLDER`",
        ) from error


def says_what_it_means(folder: Path) -> bool:
    """Whether `read_specification` has something to read: what others wrote has not."""
    return (folder / SPECIFICATION_PATH).exists()


def _version_3(folder: Path, info: Mapping[str, Any]) -> tuple[Iterator[_Place], Mapping[int, str]]:
    import pyarrow.parquet as parquet

    rows = parquet.read_table(folder / "meta/episodes").to_pylist()
    tasks = parquet.read_table(folder / TASKS_PATH).to_pylist()

    def place(row: Mapping[str, Any], prefix: str, template: str, key: str = "") -> str:
        return template.format(
            video_key=key,
            chunk_index=row[f"{prefix}/chunk_index"],
            file_index=row[f"{prefix}/file_index"],
        )

    places = (
        _Place(
            row["episode_index"],
            place(row, "data", info["data_path"]),
            {
                role: (
                    place(row, f"videos/{key}", info["video_path"], key),
                    row[f"videos/{key}/from_timestamp"],
                )
                for role, key in VIDEO_KEYS.items()
            },
        )
        for row in rows
    )
    return places, {row["task_index"]: row["task"] for row in tasks}


def _version_2(folder: Path, info: Mapping[str, Any]) -> tuple[Iterator[_Place], Mapping[int, str]]:
    def lines(name: str) -> list[Any]:
        text = (folder / "meta" / name).read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines() if line]

    def place(index: int, template: str, key: str = "") -> str:
        chunk = index // info["chunks_size"]
        return template.format(video_key=key, episode_chunk=chunk, episode_index=index)

    places = (
        _Place(
            row["episode_index"],
            place(row["episode_index"], info["data_path"]),
            {
                role: (place(row["episode_index"], info["video_path"], key), 0.0)
                for role, key in VIDEO_KEYS.items()
            },
        )
        for row in lines("episodes.jsonl")
    )
    return places, {row["task_index"]: row["task"] for row in lines("tasks.jsonl")}


_Layout = Callable[[Path, Mapping[str, Any]], tuple[Iterator[_Place], Mapping[int, str]]]
_LAYOUTS: Mapping[str, _Layout] = {"v2.0": _version_2, "v2.1": _version_2, "v3.0": _version_3}
"""By `codebase_version`: where each episode lies, and the tasks by number."""


def _episode(
    folder: Path, rate_hz: float, place: _Place, tasks: Mapping[int, str]
) -> Demonstration:
    import pyarrow.parquet as parquet

    table = parquet.read_table(
        folder / place.data, filters=[("episode_index", "=", place.episode)]
    ).sort_by("frame_index")
    length = table.num_rows
    cache: dict[Role, list[Image]] = {}

    def frame(role: Role, index: int) -> Image:
        if role not in cache:
            path, start_s = place.videos[role]
            cache[role] = read_video(folder / path, round(start_s * rate_hz), length)
        return cache[role][index]

    def column(name: str) -> NDArray[np.float32]:
        flat = table.column(name).combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return np.ascontiguousarray(flat.reshape(length, -1), np.float32)

    task = tasks[table.column("task_index")[0].as_py()]
    return Demonstration(task, column("observation.state"), column("action"), frame)
