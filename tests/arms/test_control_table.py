"""The registers of both kinds of servo: no value is cut to fit, no byte is taken twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.runtime.arms import dynamixel, feetech
from dreamvla_edge.runtime.arms.control_table import ControlTable

TABLES = {"feetech": feetech.TABLE, "dynamixel": dynamixel.TABLE}
ROWS = [(protocol, name) for protocol, table in TABLES.items() for name in table.registers]


@given(st.sampled_from(ROWS), st.integers(-70_000, 70_000) | st.integers(-(1 << 33), 1 << 33))
def test_a_register_gives_back_what_fits_and_refuses_the_rest(
    row: tuple[str, str], value: int
) -> None:
    """What fits is worked out anew here, from the meaning of size and sign."""
    protocol, name = row
    table = TABLES[protocol]
    register = table.registers[name]
    if register.sign is None:
        fits = 0 <= value <= (256**register.size - 1 if register.highest is None else 1)
    elif register.sign == "two":
        fits = -(256**register.size) <= 2 * value < 256**register.size
    else:
        fits = abs(value) < 2**register.sign
    try:
        data = table.encode(name, value)
    except ValueError as error:
        assert not fits and name in str(error)
    else:
        assert fits and len(data) == register.size
        assert table.decode(name, data) == value


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_no_two_registers_share_a_byte(table: ControlTable) -> None:
    """A wrong address or size in the table would overlap or leave the documented map."""
    taken: dict[int, str] = {}
    for name, register in table.registers.items():
        for at in range(register.address, register.address + register.size):
            assert at not in taken, (name, taken[at])
            taken[at] = name


def test_torque_takes_on_and_off_only() -> None:
    """128 would store a new middle in a Feetech servo."""
    for table in TABLES.values():
        assert [table.encode("torque_enable", value) for value in (0, 1)] == [b"\0", b"\1"]
        with pytest.raises(ValueError, match="0 to 1"):
            table.encode("torque_enable", 128)


def test_what_is_stored_stands_below_the_first_register_of_the_ram() -> None:
    """Torque is the first that power off forgets, in both kinds."""
    for table in TABLES.values():
        torque = table.registers["torque_enable"].address
        for name, register in table.registers.items():
            assert table.is_stored(name) == (register.address < torque), name
        assert all(table.is_stored(name) for name in table.fixed)
