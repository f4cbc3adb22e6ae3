"""A servo's registers: numbers by name, and the bytes they are on the wire. All little-endian."""

from __future__ import annotations

import operator
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

_CODES = {1: "b", 2: "h", 4: "i"}
"""How `struct` names a signed integer of so many bytes."""


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


class _Block(NamedTuple):
    """Registers that follow each other: how they are packed, and which have a sign bit."""

    packing: struct.Struct
    names: tuple[str, ...]
    sign_bits: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class ControlTable:
    """The registers of one kind of servo.

    stored_below: registers at lower addresses survive power-off (EEPROM); fixed: names of stored
    registers that are never written, because the bus or the servo's identity hangs on them.
    """

    registers: Mapping[str, Register]
    stored_below: int
    fixed: frozenset[str]
    _known: dict[tuple[str, str], _Block] = field(
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
        return self.decode_block(name, name, data)[name]

    def block(self, first: str, last: str) -> tuple[int, int]:
        """Address and number of bytes of the registers `first` to `last`."""
        start, end = self.registers[first].address, self.registers[last]
        return start, end.address + end.size - start

    def decode_block(self, first: str, last: str, data: bytes) -> dict[str, int]:
        """Every register from `first` to `last` by name, from the bytes of that block."""
        if (first, last) not in self._known:
            self._known[first, last] = self._block(first, last)
        block = self._known[first, last]
        values = dict(zip(block.names, block.packing.unpack(data), strict=True))
        for name, bit in block.sign_bits:
            magnitude = values[name] & ((1 << bit) - 1)
            values[name] = -magnitude if values[name] >> bit & 1 else magnitude
        return values

    def _block(self, first: str, last: str) -> _Block:
        """How a block is packed; made once, since a block is decoded all the time."""
        start, size = self.block(first, last)
        inside = {
            name: register
            for name, register in sorted(self.registers.items(), key=lambda item: item[1].address)
            if start <= register.address < start + size
        }
        packing, end = "<", start
        for register in inside.values():
            code = _CODES[register.size]
            packing += (
                f"{register.address - end}x{code if register.sign == 'two' else code.upper()}"
            )
            end = register.address + register.size
        sign_bits = ((n, r.sign) for n, r in inside.items() if isinstance(r.sign, int))
        return _Block(struct.Struct(packing), tuple(inside), tuple(sign_bits))

    def is_stored(self, name: str) -> bool:
        """Whether the register survives power-off."""
        return self.registers[name].address < self.stored_below
