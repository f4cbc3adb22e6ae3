"""Numbers that come from outside: checked once, where they enter."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .errors import ObservationError
from .specification import StateSpecification

FloatArray = npt.NDArray[np.float32]


def finite(value: npt.ArrayLike, shape: tuple[int, ...], name: str, meaning: str) -> FloatArray:
    """`value` as a float32 array of `shape`.

    name, meaning: what it is and what it should be, for the error.
    Raises ObservationError if it is no array of numbers, has another shape or is not finite.
    """
    try:
        found = np.asarray(value)
        if found.dtype.kind not in "iuf":
            raise TypeError(f"of {found.dtype}")
        with np.errstate(over="ignore"):  # what float32 cannot hold is not finite below
            array = found.astype(np.float32)
    except (TypeError, ValueError) as error:
        raise ObservationError(
            f"a {name} of type {type(value).__name__} ({error})",
            f"numbers of shape {shape}",
            f"pass {meaning}",
        ) from None
    if array.shape != shape:
        raise ObservationError(
            f"a {name} of shape {array.shape}", f"shape {shape}", f"pass {meaning}"
        )
    if not np.isfinite(array).all():
        bad = ", ".join(str(tuple(index.tolist())) for index in np.argwhere(~np.isfinite(array)))
        raise ObservationError(
            f"a {name} that is not finite at {bad}",
            "finite numbers",
            "check the sensor that this value comes from",
        )
    return array


def normalised(state: FloatArray, specification: StateSpecification) -> FloatArray:
    """The network's numbers of a raw state: (v - offset) / scale; the gripper stays as it is."""
    count = len(specification.dimensions)
    scale = np.array([dimension.scale for dimension in specification.dimensions], np.float32)
    offset = np.array([dimension.offset for dimension in specification.dimensions], np.float32)
    return np.concatenate([(state[:count] - offset) / scale, state[count:]])
