"""Where a window keeps keys and values between two calls of the backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Tensors = Mapping[str, Any]
"""By name of the backbone's outputs (k0, v0, …): (H, n, d) each, in whatever memory it is."""


class KeysAndValues(Protocol):
    """Makes and joins such tensors, in the memory where the backbone's session reads and writes.

    What a method returns holds until the next one that returns tensors, but for its argument.
    """

    def empty(self) -> Tensors:
        """Of no rows."""
        ...

    def room(self, rows: int) -> Tensors:
        """Of so many rows, for a session to write."""
        ...

    def first(self, tensors: Tensors, rows: int) -> Tensors:
        """The first rows of each."""
        ...

    def joined(self, tensors: Tensors, outputs: Tensors, rows: int) -> Tensors:
        """Each with the first rows of a session's output behind it."""
        ...


class HostKeysAndValues:
    """In NumPy's memory. names: of the tensors; heads, width: H and d."""

    def __init__(self, names: Sequence[str], heads: int, width: int) -> None:
        self._names, self._heads, self._width = tuple(names), heads, width
        self._room: dict[str, npt.NDArray[np.float32]] = {}

    def empty(self) -> Tensors:
        """Of no rows."""
        nothing = np.zeros((self._heads, 0, self._width), np.float32)
        return dict.fromkeys(self._names, nothing)

    def room(self, rows: int) -> Tensors:
        """The same memory each time for the same number of rows: 63 MB at full size."""
        shape = (self._heads, rows, self._width)
        if any(array.shape != shape for array in self._room.values()):
            self._room = {}
        if not self._room:
            self._room = {name: np.empty(shape, np.float32) for name in self._names}
        return self._room

    def first(self, tensors: Tensors, rows: int) -> Tensors:
        """Views."""
        return {name: tensor[:, :rows] for name, tensor in tensors.items()}

    def joined(self, tensors: Tensors, outputs: Tensors, rows: int) -> Tensors:
        """Copies."""
        return {
            name: np.concatenate([tensors[name], outputs[name][:, :rows]], 1)
            for name in self._names
        }
