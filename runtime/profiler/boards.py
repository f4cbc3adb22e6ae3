"""Jetson modules by name: what each can do at most in each of its power modes."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

import msgspec

from dreamvla_edge.runtime.errors import BoardError
from dreamvla_edge.runtime.profiler.roofline import Roof
from dreamvla_edge.runtime.specification import Contract
from dreamvla_edge.runtime.work import Format


class Chip(Contract, frozen=True):
    """operations: dense ones per SM and clock, by number format."""

    operations: dict[Format, int]
    source: str


class Mode(Contract, frozen=True):
    """A power mode: SMs that are on, greatest clocks of GPU and memory [MHz]."""

    name: str
    sms: int
    gpu_mhz: float
    emc_mhz: float


class Board(Contract, frozen=True):
    """One module; default: the mode that it starts in; modes: the fastest first."""

    title: str
    chip: str
    memory_gb: float
    bus_bytes: int
    l2_mb: float
    default: str
    source: str
    modes: tuple[Mode, ...]

    def mode(self, name: str | None = None) -> Mode:
        """A power mode by its name, None for the one that the board starts in.

        Raises BoardError if there is no such mode.
        """
        wanted = (name or self.default).upper()
        for mode in self.modes:
            if wanted in (mode.name, mode.name.removeprefix("MODE_")):
                return mode
        raise BoardError(
            f"power mode {name!r} of {self.title}",
            "one of " + ", ".join(mode.name for mode in self.modes),
            "name one of them, or leave it out",
        )

    def roof(self, mode: str | None = None) -> Roof:
        """What the board can do at most in a power mode. Raises BoardError."""
        chosen = self.mode(mode)
        clock = chosen.sms * chosen.gpu_mhz * 1e6
        return Roof(
            name=self.title,
            mode=chosen.name,
            operations_per_s={
                f: n * clock for f, n in _table().chips[self.chip].operations.items()
            },
            bytes_per_s=chosen.emc_mhz * 1e6 * 2 * self.bus_bytes,
            cache_bytes=self.l2_mb * 2**20,
            source=f"{self.source}; {_table().chips[self.chip].source}",
        )


class _Table(Contract, frozen=True):
    chips: dict[str, Chip]
    boards: dict[str, Board]


def boards() -> dict[str, Board]:
    """All modules, the smallest first."""
    return _table().boards


def board(name: str) -> Board:
    """A module by its name. Raises BoardError if there is none."""
    found = _table().boards.get(name.lower())
    if found is None:
        raise BoardError(
            f"board {name!r}", "one of " + ", ".join(_table().boards), "name one of them"
        )
    return found


@cache
def _table() -> _Table:
    file = files("dreamvla_edge.runtime.profiler") / "boards.toml"
    return msgspec.toml.decode(file.read_bytes(), type=_Table)
