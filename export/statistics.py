"""LeRobot's `meta/stats.json` as scales and offsets.

The file maps a feature (`action`, `observation.state`) to arrays `mean`, `std`, `min`, `max`, one
number for each motor. LeRobot normalises with (v - mean) / std or to [-1, 1] between min and max.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Literal

import msgspec

from dreamvla_edge.runtime.errors import DataSetError
from dreamvla_edge.runtime.specification import UNUSED, Contract, Dimension


class Statistics(Contract, frozen=True):
    """Where the scales and offsets of a vector stand.

    file: path of `stats.json`, relative to the data-set file; key: the feature in it;
    mode: `mean_std` (v = std · x + mean) or `min_max` (x = -1 at min, +1 at max);
    unit: of the angles in it; columns: which dimension each number of its arrays belongs to.
    """

    file: str
    key: str
    mode: Literal["mean_std", "min_max"]
    unit: Literal["degrees", "radians"]
    columns: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.columns) != len(set(self.columns)):
            raise ValueError("two columns have the same name")


def scaled(
    dimensions: tuple[Dimension, ...], statistics: Statistics, folder: Path
) -> tuple[Dimension, ...]:
    """The dimensions with scale and offset from statistics, angles in rad.

    `folder` is where the data-set file lies. Dimensions named `unused` stay as they are.
    Raises DataSetError.
    """
    path = folder / statistics.file
    arrays = _arrays(statistics, path)
    if statistics.mode == "mean_std":
        scales, offsets = arrays["std"], arrays["mean"]
    else:
        pairs = list(zip(arrays["min"], arrays["max"], strict=True))
        scales = [(high - low) / 2 for low, high in pairs]
        offsets = [(high + low) / 2 for low, high in pairs]
    table = dict(zip(statistics.columns, zip(scales, offsets, strict=True), strict=True))
    return tuple(
        dimension if dimension.name == UNUSED else _scaled(dimension, table, statistics, path)
        for dimension in dimensions
    )


def _scaled(
    dimension: Dimension,
    table: dict[str, tuple[float, float]],
    statistics: Statistics,
    path: Path,
) -> Dimension:
    name = dimension.name
    if (dimension.scale, dimension.offset) != (1.0, 0.0):
        raise DataSetError(
            f"dimension `{name}` has a scale or offset beside its statistics",
            "scales and offsets in the data-set file, or statistics, not both",
            "remove one of the two",
        )
    if name not in table:
        raise DataSetError(
            f"dimension `{name}` is not a column of its statistics",
            f"one of {', '.join(statistics.columns)}",
            "name the dimension and its column alike",
        )
    scale, offset = table[name]
    if not 0 < scale < math.inf:
        raise DataSetError(
            f"{path}: `{statistics.key}` has no spread in `{name}`",
            "a value that changes in the data: std above zero, max above min",
            f"name the dimension `{UNUSED}` if it never moved, or compute the statistics again",
        )
    unit = math.pi / 180 if (statistics.unit, dimension.unit) == ("degrees", "rad") else 1.0
    return msgspec.structs.replace(dimension, scale=scale * unit, offset=offset * unit)


def _arrays(statistics: Statistics, path: Path) -> dict[str, list[float]]:
    """The two arrays that the mode needs, one finite number for each column."""
    names = ("mean", "std") if statistics.mode == "mean_std" else ("min", "max")
    try:
        features = json.loads(path.read_bytes())  # unlike msgspec's, it reads NaN, refused below
    except OSError as error:
        raise DataSetError(
            f"statistics {path} cannot be read: {error.strerror}",
            "the `meta/stats.json` of the LeRobot data set",
            "copy it beside the data-set file, or correct `file`",
        ) from error
    except ValueError as error:
        raise DataSetError(
            f"statistics {path} are not JSON: {error}",
            "the `meta/stats.json` of the LeRobot data set",
            "copy the file again",
        ) from error
    arrays = {}
    for name in names:
        place = f"`{statistics.key}`.`{name}`"
        try:
            array = msgspec.convert(features[statistics.key][name], list[float])
        except (KeyError, TypeError, msgspec.ValidationError) as error:
            raise DataSetError(
                f"{path} holds no list of numbers at {place}",
                f"the arrays {' and '.join(names)} of feature `{statistics.key}`",
                "correct `key` or `mode` of the statistics in the data-set file",
            ) from error
        if len(array) != len(statistics.columns):
            raise DataSetError(
                f"{path} has {len(array)} numbers at {place}",
                f"{len(statistics.columns)}, one for each of {', '.join(statistics.columns)}",
                "list as `columns` the names that `meta/info.json` gives this feature",
            )
        if not all(math.isfinite(value) for value in array):
            raise DataSetError(
                f"{path} has a NaN or infinite number at {place}",
                "finite numbers",
                "compute the statistics of the data set again",
            )
        arrays[name] = array
    return arrays
