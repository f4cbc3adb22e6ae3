"""The Feetech codec: packets, registers, units."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.runtime.arms import feetech


@pytest.mark.parametrize(
    ("packet", "wire"),
    [
        (feetech.ping(1), "FF FF 01 02 01 FB"),
        (feetech.ping(0xFE), "FF FF FE 02 01 FE"),
        (feetech.read(1, 56, 2), "FF FF 01 04 02 38 02 BE"),
        (feetech.write(1, 42, b"\x00\x08"), "FF FF 01 05 03 2A 00 08 C4"),
        (feetech.sync_read([1, 2], 56, 2), "FF FF FE 06 82 38 02 01 02 3C"),
        (
            feetech.sync_write(42, {1: b"\x00\x08", 2: b"\xe8\x03"}),
            "FF FF FE 0A 83 2A 02 01 00 08 02 E8 03 52",
        ),
    ],
)
def test_instructions_have_these_bytes(packet: bytes, wire: str) -> None:
    """Summed up by hand from the vendor's description of the frame."""
    assert packet == bytes.fromhex(wire)


def test_a_status_has_these_bytes() -> None:
    """Servo 1 at step 0x0518 without a fault; servo 2 with overload and nothing to say."""
    parser = feetech.StatusParser(2)
    assert parser.feed(bytes.fromhex("FF FF 01 04 00 18 05 DD")) == [
        feetech.Status(1, 0, b"\x18\x05")
    ]
    parser = feetech.StatusParser(0)
    assert parser.feed(bytes.fromhex("FF FF 02 02 20 DB")) == [feetech.Status(2, 0x20, b"")]


@pytest.mark.parametrize(
    ("name", "value", "wire"),
    [
        ("goal_position", 2048, "00 08"),
        ("goal_position", -1, "01 80"),
        ("goal_position", 32767, "FF 7F"),
        ("homing_offset", -2047, "FF 0F"),
        ("homing_offset", 2047, "FF 07"),
        ("present_load", -1000, "E8 07"),
        ("model", 777, "09 03"),
        ("torque_enable", 1, "01"),
        ("max_torque", 65535, "FF FF"),
    ],
)
def test_registers_have_these_bytes(name: str, value: int, wire: str) -> None:
    """Little-endian; the sign is a bit of its own, at a place that depends on the register."""
    assert feetech.encode(name, value) == bytes.fromhex(wire)
    assert feetech.decode(name, bytes.fromhex(wire)) == value


@pytest.mark.parametrize("value", [math.nan, math.inf, 2048.0, None, "2048"])
def test_only_integers_become_bytes(value: object) -> None:
    """A NaN has no way into a packet."""
    with pytest.raises(TypeError):
        feetech.encode("goal_position", value)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_angle_that_is_not_finite_has_no_step(value: float) -> None:
    """Rounding would raise something less clear for some of these."""
    with pytest.raises(ValueError, match="finite"):
        feetech.steps_from_radians(value, 2048, 1)


@given(st.integers(0, 4095), st.integers(0, 4095), st.sampled_from([1, -1]))
def test_steps_survive_the_way_through_radians(steps: int, zero: int, direction: int) -> None:
    """4096 steps are one turn, whichever way it is counted."""
    angle = feetech.radians_from_steps(steps, zero, direction)
    assert feetech.steps_from_radians(angle, zero, direction) == steps


def test_a_quarter_turn_is_1024_steps() -> None:
    """The unit itself, which a round trip cannot show."""
    assert feetech.steps_from_radians(math.pi / 2, 2048, 1) == 3072
    assert feetech.steps_from_radians(math.pi / 2, 2048, -1) == 1024
    assert feetech.radians_from_steps(3072, 2048, -1) == pytest.approx(-math.pi / 2)


def test_a_block_is_taken_apart_by_name() -> None:
    """Positions within the block, with a hole (64) in it."""
    assert feetech.block("present_position", "moving") == (56, 11)
    data = bytes.fromhex("00 08 05 80 64 04 78 1E 00 20 01")
    assert feetech.decode_block("present_position", "moving", data) == {
        "present_position": 2048,
        "present_velocity": -5,
        "present_load": -100,
        "present_voltage": 120,
        "present_temperature": 30,
        "status": 0x20,
        "moving": 1,
    }


@pytest.mark.parametrize(("servo", "size"), [(255, 1), (-1, 1), (1, 251)])
def test_a_packet_that_cannot_be_is_refused(servo: int, size: int) -> None:
    """Id 255 would read as a header, and the length is one byte."""
    with pytest.raises(ValueError, match="no packet"):
        feetech.packet(servo, feetech.WRITE, bytes(size))


def test_every_fault_bit_has_a_name() -> None:
    """Bits that no table explains are faults too."""
    assert feetech.fault_names(0) == ()
    assert feetech.fault_names(0x24) == ("overheated", "overload")
    assert feetech.fault_names(0x50) == ("unknown fault 16", "unknown fault 64")
