"""Measures cells of the fault table, again and again, with the checker on the log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from guardian.cell import Outcome, inject
from guardian.checker import violations
from guardian.rig import Rig
from guardian.table import CELLS

Key = tuple[str, str]


class Measured(NamedTuple):
    """One fault and what came of it; refused: why that must not be, or nothing."""

    key: Key
    outcome: Outcome
    refused: str


class Rigs:
    """One dancing arm whose policy is blind and one whose policy sees, made when needed."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._stack = folder, ExitStack()
        self.rigs: dict[bool, Rig] = {}

    def __enter__(self) -> Rigs:
        """Has no arm yet."""
        return self

    def __exit__(self, *error: object) -> None:
        """Ends all processes."""
        self._stack.close()

    def rig(self, key: Key) -> Rig:
        """The arm for a cell."""
        eyes = key[0] == "camera"
        if eyes not in self.rigs:
            folder = self._folder / ("seeing" if eyes else "blind")
            self.rigs[eyes] = self._stack.enter_context(Rig(folder, eyes=eyes))
        return self.rigs[eyes]

    def violations(self) -> list[str]:
        """What the checker says of all logs."""
        return [
            text
            for rig in self.rigs.values()
            for text in violations(rig.log, rig.bounds(), rig.outside_m)
        ]


def measure(rigs: Rigs, keys: Iterable[Key]) -> Iterator[Measured]:
    """Does one fault after the other."""
    for key in keys:
        outcome = inject(rigs.rig(key), CELLS[key])
        yield Measured(key, outcome, CELLS[key].refused(outcome))
