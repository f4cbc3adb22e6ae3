"""From predicted chunks to the one action of this step, as the released evaluation does it.

A chunk (P, 7) predicts the actions of this step and the P - 1 after it, in the network's numbers:
six arm values and a gripper value. The action (7,) keeps the arm values and turns the gripper
value into +1 (upper) or -1 (lower), see `GripperCommand`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .errors import ActionError
from .specification import ActionSpecification

FloatArray = npt.NDArray[np.float32]


class ActionUse(Protocol):
    """How the chunks of successive steps become actions; call `use` once for every step."""

    def use(self, chunk: FloatArray) -> FloatArray:
        """The action (7,) float32 of this step from its chunk (P, 7).

        Raises ActionError.
        """

    def reset(self) -> None:
        """Forget earlier chunks: a new episode or instruction begins."""


class FirstAction:
    """Executes the first action of every chunk (released CALVIN loop)."""

    def __init__(self, specification: ActionSpecification) -> None:
        self._specification = specification

    def use(self, chunk: FloatArray) -> FloatArray:
        """See `ActionUse.use`."""
        return executed(_checked(chunk)[0], self._specification)

    def reset(self) -> None:
        """Nothing is remembered."""


class Ensemble:
    """Averages all predictions made for this step (released LIBERO loop).

    action = sum_i w_i a_i / sum_i w_i with w_i = exp(-ensemble_decay · i), i = 0 the oldest: ACT,
    arXiv 2304.13705, section IV-C. The gripper value is averaged before the threshold. As in the
    released code a prediction that holds an exact zero counts as absent. There, an action of
    zeros follows when none is left; here all of them are averaged then.
    """

    def __init__(self, specification: ActionSpecification) -> None:
        self._specification = specification
        self._chunks: deque[FloatArray] = deque()  # the newest last

    def use(self, chunk: FloatArray) -> FloatArray:
        """See `ActionUse.use`."""
        self._chunks.append(_checked(chunk).copy())
        if len(self._chunks) > len(chunk):
            self._chunks.popleft()
        ages = range(len(self._chunks) - 1, -1, -1)
        predictions = np.stack([past[age] for past, age in zip(self._chunks, ages, strict=True)])
        present = np.all(predictions != 0, axis=1)
        if present.any():
            predictions = predictions[present]
        weights = np.exp(-self._specification.ensemble_decay * np.arange(len(predictions)))
        mean = weights / weights.sum() @ predictions.astype(np.float64)
        return executed(mean, self._specification)

    def reset(self) -> None:
        """See `ActionUse.reset`."""
        self._chunks.clear()


ACTION_USES: dict[str, Callable[[ActionSpecification], ActionUse]] = {
    "first": FirstAction,
    "ensemble": Ensemble,
}
"""By `ActionSpecification.chunk`."""


def action_use(specification: ActionSpecification) -> ActionUse:
    """The use of chunks that a data set asks for, with nothing remembered yet."""
    return ACTION_USES[specification.chunk](specification)


def _checked(chunk: FloatArray) -> FloatArray:
    if chunk.ndim != 2 or chunk.shape[0] < 1 or chunk.shape[1] != 7:
        raise ActionError(
            f"a chunk of shape {chunk.shape}",
            "shape (P, 7): six arm values and a gripper value for each of P steps",
            "export the checkpoint again, then run `dreamvla verify` on the bundle",
        )
    if not np.isfinite(chunk).all():
        raise _not_finite(chunk)
    return chunk


def executed(action: npt.NDArray[np.floating], specification: ActionSpecification) -> FloatArray:
    """A predicted action (7,) as it is executed: gripper ±1. Raises ActionError."""
    values = action.astype(np.float32)
    values[6] = 1.0 if action[6] > specification.gripper.threshold else -1.0
    if specification.round_to_float16:
        with np.errstate(over="ignore"):
            values = values.astype(np.float16).astype(np.float32)
        if not np.isfinite(values).all():
            raise _not_finite(values)
    return values


def _not_finite(values: FloatArray) -> ActionError:
    count = int(np.count_nonzero(~np.isfinite(values)))
    return ActionError(
        f"the network predicted {count} NaN or infinite action values",
        "finite values",
        "run `dreamvla verify` on the bundle; a float16 engine that overflows needs a higher"
        " precision",
    )
