"""A servo's registers: numbers by name, and the bytes they are on the wire. All little-endian."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple


class Register(NamedTuple):
    """Where a number stands in a servo: address, bytes, how its sign is written.

    sign: None for a number without, the bit that holds it, or `two` for two's complement;
    highest: the largest value that may be written, where the bytes would hold more.
    """

    address: int
    size: int = 1
    sign: int | Literal["two"] | None = None
    highest: int | None = None

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and largest value."""
        bits = 8 * self.size
        if self.sign is None:
            return 0, ((1 << bits) - 1) if self.highest is None else self.highest
        if self.sign == "two":
            return -(1 << bits - 1), (1 << bits - 1) - 1
        return 1 - (1 << self.sign), (1 << self.sign) - 1


@dataclass(frozen=True)
class ControlTable:
    """The registers of one kind of servo.

    stored_below: registers at lower addresses survive power-off (EEPROM); fixed: names of stored
    registers that are never written, because the bus or the servo's identity hangs on them.
    """

    registers: Mapping[str, Register]
    stored_below: int
    fixed: frozenset[str]
    _known: dict[tuple[str, str], tuple[tuple[str, slice], ...]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def encode(self, name: str, value: int) -> bytes:
        """Bytes of the integer `value` for the register `name`.

        Raises TypeError if value is no integer (a NaN never is), ValueError if it does not fit.
        """
        register = self.registers[name]
        value = operator.index(value)
        lowest, highest = register.range
        if not lowest <= value <= highest:
            raise ValueError(f"{name} takes {lowest} to {highest}, not {value}")
        if isinstance(register.sign, int):
            return (abs(value) | (value < 0) << register.sign).to_bytes(register.size, "little")
        return value.to_bytes(register.size, "little", signed=register.sign == "two")

    def decode(self, name: str, data: bytes) -> int:
        """The integer that the bytes of register `name` mean."""
        sign = self.registers[name].sign
        word = int.from_bytes(data, "little", signed=sign == "two")
        if not isinstance(sign, int):
            return word
        magnitude = word & ((1 << sign) - 1)
        return -magnitude if word >> sign & 1 else magnitude

    def block(self, first: str, last: str) -> tuple[int, int]:
        """Address and number of bytes of the registers `first` to `last`."""
        start, end = self.registers[first].address, self.registers[last]
        return start, end.address + end.size - start

    def decode_block(self, first: str, last: str, data: bytes) -> dict[str, int]:
        """Every register from `first` to `last` by name, from the bytes of that block."""
        return {name: self.decode(name, data[place]) for name, place in self._places(first, last)}

    def _places(self, first: str, last: str) -> tuple[tuple[str, slice], ...]:
        """Where each register of a block stands in its bytes; asked for all the time."""
        if (first, last) not in self._known:
            start, size = self.block(first, last)
            self._known[first, last] = tuple(
                (name, slice(register.address - start, register.address - start + register.size))
                for name, register in self.registers.items()
                if start <= register.address < start + size
            )
        return self._known[first, last]

    def is_stored(self, name: str) -> bool:
        """Whether the register survives power-off."""
        return self.registers[name].address < self.stored_below
