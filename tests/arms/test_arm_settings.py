"""What every arm promises of its stored settings, and of its port."""

from __future__ import annotations

import os

import pytest

from arms.contract import (
    EEPROM_END,
    quick,
    somewhere,
)
from dreamvla_edge.runtime.arms import connect, dynamixel_arm
from dreamvla_edge.runtime.arms.arm import Arm
from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.errors import ArmError
from dreamvla_edge.sim.fault import Fault
from dreamvla_edge.sim.virtual_bus import VirtualBus


@pytest.fixture(autouse=True)
def patient_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    """2.5 s instead of 100 ms: a test machine may well stall for that long."""
    monkeypatch.setattr(dynamixel_arm, "WATCHDOG", 127)


def test_storing_settings(description: ArmDescription, virtual: VirtualBus, arm: Arm) -> None:
    """Read back, and still there after the power was off."""
    arm.store(3, {"homing_offset": -5, "min_position": 100})
    stored = arm.registers()[3]
    assert (stored["homing_offset"], stored["min_position"]) == (-5, 100)
    virtual.fault(Fault("off", 3))
    virtual.mend(3)
    stored = arm.registers()[3]
    assert (stored["homing_offset"], stored["min_position"]) == (-5, 100)
    assert {w.servo for w in virtual.writes} == {3}


def test_storing_needs_torque_off_and_a_register_that_may_be_stored(
    description: ArmDescription, virtual: VirtualBus, arm: Arm
) -> None:
    """An id that changes would lose the servo."""
    for name in ("id", "baud_index", "goal_position", "torque_enable"):
        with pytest.raises(ValueError, match=name):
            arm.store(3, {name: 1})
    arm.enable()
    with pytest.raises(ArmError, match="torque on"):
        arm.store(3, {"homing_offset": 1})
    assert eeprom_writes(virtual, description) == 0


def eeprom_writes(bus: VirtualBus, description: ArmDescription) -> int:
    """How many writes went into the EEPROM, by the bus's own account."""
    return sum(bus.servo(servo).eeprom_writes for servo in description.servos)


def test_nothing_but_store_touches_the_eeprom(
    description: ArmDescription, virtual: VirtualBus, arm: Arm
) -> None:
    """It wears out, and a wrong limit in it outlives the program."""
    arm.identify()
    arm.enable()
    arm.write(somewhere(description, 0.6), 0.2)
    arm.enable()
    arm.release()
    arm.registers()
    assert eeprom_writes(virtual, description) == 0
    assert all(w.address >= EEPROM_END[description.protocol] for w in virtual.writes)
    arm.store(1, {"homing_offset": 3})
    assert eeprom_writes(virtual, description) == 1


def test_registers_are_all_there(
    description: ArmDescription, virtual: VirtualBus, arm: Arm
) -> None:
    """By servo and name, as the servos hold them."""
    found = arm.registers()
    assert list(found) == list(description.servos)
    for servo, values in found.items():
        assert values["id"] == servo
        assert values["model"] == description.models[servo]
        assert values["present_position"] == round(virtual.position(servo))
        assert values["present_temperature"] == 30


def test_a_port_that_is_in_use_says_by_whom(
    description: ArmDescription, virtual: VirtualBus
) -> None:
    """Two owners would garble each other's packets."""
    with (
        quick(description, virtual),
        pytest.raises(ArmError, match=r"used by process \d+") as caught,
    ):
        connect(description, virtual.port)
    assert f"process {os.getpid()} (" in caught.value.found and "python" in caught.value.found
    with quick(description, virtual) as arm:  # the first owner gave it back
        arm.read()
