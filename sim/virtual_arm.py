"""A virtual bus with the servos of an arm that a description describes."""

from __future__ import annotations

from pathlib import Path

from dreamvla_edge.runtime.arms.description import ArmDescription, Gripper, Joint
from dreamvla_edge.runtime.arms.steps import steps_from_radians
from dreamvla_edge.sim.bus_log import BusLog
from dreamvla_edge.sim.dynamixel_servo import DynamixelServo
from dreamvla_edge.sim.plant import Plant
from dreamvla_edge.sim.virtual_bus import VirtualBus


def virtual_arm(
    description: ArmDescription,
    *,
    usb_latency_s: float = 0.0,
    link: Path | None = None,
    seed: int = 0,
    log: BusLog | None = None,
    kept_writes: int | None = None,
    plant: Plant | None = None,
) -> VirtualBus:
    """The arm, set up as its description asks, with torque off; options as of `VirtualBus`.

    In a plant it begins where the plant is.
    """
    places = start_positions(description)
    if plant is not None:
        places = {servo: round(plant.turned(servo).position) for servo in places}
    bus = VirtualBus(
        places,
        description.baud,
        protocol=description.protocol,
        models=description.models,
        usb_latency_s=usb_latency_s,
        link=link,
        seed=seed,
        log=log,
        kept_writes=kept_writes,
        plant=plant,
    )
    parts: tuple[Joint | Gripper, ...] = (*description.joints, description.gripper)
    for part in parts:
        if part.homing_offset is not None:
            bus.servo(part.servo).preset_offset(part.homing_offset)
    gripper = bus.servo(description.gripper.servo)
    if isinstance(gripper, DynamixelServo) and description.gripper.operating_mode is not None:
        gripper.preset_mode(description.gripper.operating_mode)
    return bus


def start_positions(description: ArmDescription) -> dict[int, int]:
    """Servo id -> the middle of its joint, or of the gripper's way [step]."""
    middles = {
        joint.servo: steps_from_radians(
            (joint.lower_rad + joint.upper_rad) / 2, joint.zero_step, joint.direction
        )
        for joint in description.joints
    }
    gripper = description.gripper
    return middles | {gripper.servo: (gripper.closed_step + gripper.open_step) // 2}
