"""Servos of a virtual bus that turn the joints of a scene, on the wall clock."""

from __future__ import annotations

import time
from contextlib import closing

import numpy as np
import pytest

from dreamvla_edge.runtime.arms import connect
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.sim.plant import PlantMotor
from dreamvla_edge.sim.scene.layout import draw
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.virtual_arm import virtual_arm

SO101 = load_description("so101")
PATIENT_S = 20.0


def test_goals_go_through_bytes_and_physics() -> None:
    """What is written to the port moves the scene, and what is read there is where it is."""
    scene = Scene(SO101)
    scene.reset(draw(1, 5))
    with (
        virtual_arm(SO101, plant=scene) as bus,
        closing(connect(SO101, bus.port, latency_s=5.0)) as arm,
    ):
        arm.identify()
        arm.enable()
        goal = arm.read().joints + np.array([0.3, 0.0, 0.0, 0.0, 0.2])
        arm.write(goal, 0.5)
        deadline_s = time.monotonic() + PATIENT_S
        while np.abs((reading := arm.read()).joints - goal).max() > 0.01:
            assert time.monotonic() < deadline_s, reading
        while abs(reading.gripper - 0.5) > 0.02:
            reading = arm.read()
            assert time.monotonic() < deadline_s, reading
        assert any(servo.load for servo in reading.servos)
    assert np.abs(scene.joints - goal).max() < 0.02
    assert scene.opening == pytest.approx(0.5, abs=0.03)


def test_an_offset_that_is_preset_moves_the_encoder_and_nothing_else() -> None:
    """As of a motor without a load."""
    scene = Scene(SO101)
    scene.reset(draw(1, 5))
    with virtual_arm(SO101, plant=scene) as bus:
        before, joints = bus.position(1), scene.joints
        bus.servo(1).preset_offset(50)
        assert isinstance(bus.servo(1).motor, PlantMotor)
        assert bus.position(1) == pytest.approx(before, abs=0.6)
        assert np.abs(scene.joints - joints).max() < 0.02
