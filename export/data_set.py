"""Data-set files: what a checkpoint was trained on, written down by a person.

`calvin` and `libero` are shipped; for another arm save the template `so101`, whose comments
explain every field, and give its path.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from dreamvla_edge.runtime.errors import DataSetError
from dreamvla_edge.runtime.specification import (
    Contract,
    Specification,
)

from .statistics import Statistics, scaled

FOLDER = Path(__file__).parent / "data_sets"
NAMES = ("calvin", "libero")
"""Data sets that are shipped ready for use."""
TEMPLATES = (*NAMES, "so101")
"""Data-set files to start from."""


class ModelHints(Contract, frozen=True):
    """What the shapes in a checkpoint do not tell.

    heads: attention heads of the backbone; dit_heads, vision_heads, text_heads: of the other
    towers, None taking the released rule (heads 64 wide; DiT-S four of 96); dream_heads: of the
    dream decoders; guidance: scale of classifier-free guidance (1 = none); sampler_steps: DDIM
    steps, a divisor of the 100 steps of training.
    """

    heads: int
    guidance: float
    sampler_steps: int = 10
    dit_heads: int | None = None
    vision_heads: int | None = None
    text_heads: int | None = None
    dream_heads: int = 16

    def __post_init__(self) -> None:
        towers = (self.heads, self.dit_heads, self.vision_heads, self.text_heads, self.dream_heads)
        if any(heads is not None and heads < 1 for heads in towers):
            raise ValueError("a number of heads must be above zero")
        if not (math.isfinite(self.guidance) and self.guidance >= 0):
            raise ValueError("guidance must be finite and >= 0")
        if self.sampler_steps < 1 or 100 % self.sampler_steps:
            raise ValueError("sampler_steps must divide 100, the number of steps in training")


class DataSet(Contract, frozen=True):
    """A data set: the meaning of its numbers, and hints for reading its checkpoints."""

    specification: Specification
    model: ModelHints


def load_data_set(name_or_path: str | Path) -> DataSet:
    """The data set `calvin` or `libero`, or the one that a TOML file describes.

    Raises DataSetError.
    """
    path = _path(name_or_path)
    raw = _toml(path)
    hints = raw.pop("model", {})
    action_statistics = _statistics_of(raw, "action", path)
    state_statistics = _statistics_of(raw, "state", path)
    specification = _converted(raw, Specification, path, "")
    action, state = specification.action, specification.state
    if action_statistics is not None:
        dimensions = scaled(action.dimensions, action_statistics, path.parent)
        action = msgspec.structs.replace(action, dimensions=dimensions)
    if state_statistics is not None:
        dimensions = scaled(state.dimensions, state_statistics, path.parent)
        state = msgspec.structs.replace(state, dimensions=dimensions)
    specification = msgspec.structs.replace(specification, action=action, state=state)
    model = _converted(hints, ModelHints, path, "model")
    return DataSet(specification=specification, model=model)


def as_toml(data_set: DataSet) -> str:
    """A data-set file that `load_data_set` reads as this data set (tomli-w does the writing)."""
    content = msgspec.to_builtins(data_set)
    table = {**content["specification"], "model": content["model"]}
    return msgspec.toml.encode(_without_none(table)).decode()


def template(name: str) -> str:
    """The text of a shipped data-set file, to be saved under another name and changed.

    Raises DataSetError if there is none of that name.
    """
    if name not in TEMPLATES:
        raise DataSetError(
            f"no template `{name}`", f"one of {', '.join(TEMPLATES)}", "choose one of these"
        )
    return (FOLDER / f"{name}.toml").read_text(encoding="utf-8")


def _path(name_or_path: str | Path) -> Path:
    if name_or_path in NAMES:
        return FOLDER / f"{name_or_path}.toml"
    path = Path(name_or_path)
    if path.suffix != ".toml" and not path.exists():
        raise DataSetError(
            f"no data set `{name_or_path}`",
            f"{', '.join(NAMES)}, or a path to a data-set file (.toml)",
            "for an arm of your own save the template `so101`, fill it in and give its path",
        )
    return path


def _toml(path: Path) -> dict[str, Any]:
    try:
        return msgspec.toml.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise DataSetError(
            f"data-set file {path} cannot be read: {error.strerror}",
            f"a TOML file, or one of the names {', '.join(NAMES)}",
            "check the path",
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataSetError(
            f"data-set file {path} is not TOML: {error}", "TOML in UTF-8", "correct that place"
        ) from error


def _statistics_of(raw: dict[str, Any], part: str, path: Path) -> Statistics | None:
    """Take `statistics` out of the table [part], which then fits the specification."""
    table = raw.get(part)
    if not isinstance(table, dict) or "statistics" not in table:
        return None
    return _converted(table.pop("statistics"), Statistics, path, f"{part}.statistics")


def _without_none(value: Any) -> Any:
    """Without the fields that TOML cannot say; their default is None."""
    if isinstance(value, dict):
        return {key: _without_none(v) for key, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_without_none(entry) for entry in value]
    return value


Converted = TypeVar("Converted")


def _converted(raw: Any, kind: type[Converted], path: Path, root: str) -> Converted:
    """`raw`, which stands in the file at `root`, as a contract."""
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        # "What - at `$.place`", where $ is `raw`; without a place it is `raw` itself.
        what, _, place = str(error).partition(" - at ")
        place = place.strip("`").replace("$", root, 1).lstrip(".") or root
        raise DataSetError(
            f"data-set file {path}, at {place or 'the top level'}: {what}",
            "the fields that the template `so101` explains",
            "correct that place",
        ) from error
