"""Arm descriptions: those that ship, those of a user, and wrong ones."""

from __future__ import annotations

import math
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.runtime.arms import ARMS, connect, own_driver
from dreamvla_edge.runtime.arms.description import (
    ArmDescription,
    Calibration,
    calibrated,
    load_description,
    shipped_arms,
)
from dreamvla_edge.runtime.arms.steps import radians_from_steps, steps_from_radians
from dreamvla_edge.runtime.cameras.source import CameraSource
from dreamvla_edge.runtime.errors import ArmError
from dreamvla_edge.runtime.robot import ArmSetup, Cameras, Robot, open_robot_arm
from dreamvla_edge.sim.virtual_arm import virtual_arm

SO101 = load_description("so101")


@pytest.mark.parametrize("name", shipped_arms())
def test_every_description_has_its_own_name_and_a_driver(name: str) -> None:
    """Both protocols are there."""
    description = load_description(name)
    assert description.name == name
    assert description.protocol in ARMS
    assert {load_description(arm).protocol for arm in shipped_arms()} == set(ARMS)


def test_a_missing_description_is_an_error_that_names_the_others() -> None:
    """Not a traceback."""
    with pytest.raises(ArmError, match="so102.toml") as caught:
        load_description("so102")
    assert "koch, so101" in caught.value.cure


def test_a_toml_file_works_like_a_name(tmp_path: Path) -> None:
    """A new arm needs no Python."""
    text = (files("dreamvla_edge.runtime.arms") / "so101.toml").read_text()
    file = tmp_path / "mine.toml"
    file.write_text(text.replace('name = "so101"', 'name = "mine"'))
    assert load_description(str(file)).name == "mine"
    with virtual_arm(load_description(str(file))) as bus:
        found = {"wrist_roll": Calibration(None, 100, 4000)}
        arm = connect(calibrated(load_description(str(file)), found), bus.port)
        assert arm.description.name == "mine"
        assert arm.description.joints[4].lower_rad > SO101.joints[4].lower_rad - 1e-9
        arm.close()
    file.write_text(text.replace("[gripper]", "[grip]"))
    with pytest.raises(ArmError, match="mine.toml") as caught:
        load_description(str(file))
    assert "unknown field" in caught.value.found and "correct" in caught.value.cure


def test_a_class_of_ones_own_is_called_with_the_port(tmp_path: Path) -> None:
    """And a wrong name is an error with a cure."""
    cameras = Cameras(CameraSource("simulated"), CameraSource("simulated"))
    robot = Robot("own", ArmSetup("collections:Counter", "/dev/x"), cameras)
    arm: Any = open_robot_arm(robot, tmp_path)
    assert arm["x"] == 1
    for name in ("no_such_module:Arm", "collections:NoArm", ":Arm"):
        with pytest.raises(ArmError, match="cannot be imported"):
            own_driver(name)


@pytest.mark.parametrize(
    ("where", "field", "value", "message"),
    [
        ("joint", "lower_rad", 1.95, "limits of shoulder_pan are empty"),
        ("joint", "lower_rad", math.nan, "limits of shoulder_pan are empty"),
        ("joint", "upper_rad", 3.2, "outside 0 to 4095"),
        ("joint", "upper_rad", math.inf, "finite"),
        ("joint", "axis", [0, 0, 2], "no unit vector"),
        ("joint", "direction", 2, "Invalid enum value 2"),
        ("joint", "servo", 2, "share an id"),
        ("joint", "name", "elbow_flex", "share a name"),
        ("joint", "speed", 1, "unknown field"),
        ("joint", "operating_mode", 4, "only in its position mode"),
        ("joint", "operating_mode", 1, "Invalid enum value 1"),
        ("gripper", "open_step", 1422, "not two steps"),
        ("gripper", "open_step", 4096, "not two steps"),
        ("gripper", "torque_limit", 0, "torque_limit is 0"),
        ("gripper", "torque_limit", 1.5, "torque_limit is 1.5"),
        ("tool", "origin_m", [0, 0], "length 3"),
        ("limits", "velocity_rad_s", 0, "velocity_rad_s is 0"),
        ("limits", "acceleration_rad_s2", math.nan, "acceleration_rad_s2 is nan"),
        ("limits", "windup_rad", math.inf, "windup_rad is inf"),
        ("limits", "temperature_c", [65, 60], "temperature_c from 65"),
        ("limits", "voltage_v", [5, math.nan], "voltage_v from 5"),
        ("limits", "workspace_m", [[0, 0, 0], [1, 1, 0]], "workspace_m from 0"),
        ("limits", "joints", {"elbow": {"windup_rad": 1}}, "elbow, which is no joint"),
        ("limits", "joints", {"elbow_flex": {"windup_rad": -1}}, "windup_rad of elbow_flex"),
        ("limits", "joints", {"elbow_flex": {"speed": 1}}, "Invalid enum value 'speed'"),
    ],
)
def test_wrong_values_are_refused(where: str, field: str, value: object, message: str) -> None:
    """Each with its own reason."""
    raw: dict[str, Any] = msgspec.to_builtins(SO101)
    part = raw["joints"][0] if where == "joint" else raw[where]
    part[field] = value
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(raw, ArmDescription)


def test_a_stall_needs_all_three_numbers() -> None:
    """Current alone would call every lift a stall."""
    raw: dict[str, Any] = msgspec.to_builtins(SO101)
    del raw["limits"]["stall"]["error_rad"]
    with pytest.raises(msgspec.ValidationError, match="error_rad"):
        msgspec.convert(raw, ArmDescription)


def test_an_arm_may_be_written_in_whole_numbers() -> None:
    """TOML tells 0 from 0.0; a person does not."""
    raw: dict[str, Any] = msgspec.to_builtins(SO101)
    raw["joints"][0]["origin_m"] = [0, 0, 0]
    assert msgspec.convert(raw, ArmDescription).joints[0].origin_m == (0, 0, 0)


def test_limits_may_differ_between_joints() -> None:
    """One array for all, with the exceptions in their places."""
    raw: dict[str, Any] = msgspec.to_builtins(SO101)
    raw["limits"]["joints"] = {"elbow_flex": {"velocity_rad_s": 0.5}, "wrist_roll": {}}
    description = msgspec.convert(raw, ArmDescription)
    names = [joint.name for joint in description.joints]
    assert description.limits.per_joint("velocity_rad_s", names).tolist() == [1, 1, 0.5, 1, 1]
    assert description.limits.per_joint("windup_rad", names).tolist() == [0.35] * 5


def test_the_limits_that_ship_are_the_ones_of_the_documentation() -> None:
    """Changing one is a decision, not an accident."""
    limits = SO101.limits
    assert (limits.velocity_rad_s, limits.acceleration_rad_s2) == (1.0, 8.0)
    assert (limits.stop_acceleration_rad_s2, limits.windup_rad) == (30.0, 0.35)
    assert (limits.stall.current_a, limits.stall.error_rad, limits.stall.persistence_s) == (
        1.2,
        0.15,
        0.4,
    )
    assert (*limits.temperature_c, *limits.voltage_v) == (60, 65, 5, 14)
    assert limits.workspace_m is not None and limits.workspace_m.min[2] == 0.01


@given(
    st.sampled_from(range(4)),
    st.integers(0, 1500),
    st.integers(2500, 4095),
    st.sampled_from([1, -1]),
)
def test_calibration_lays_middle_on_middle_and_widens_nothing(
    which: int, lower: int, upper: int, direction: int
) -> None:
    """Whatever the range found and the direction: the angles allowed lie within both."""
    joint = msgspec.structs.replace(SO101.joints[which], direction=direction)
    description = msgspec.structs.replace(
        SO101, joints=(*SO101.joints[:which], joint, *SO101.joints[which + 1 :])
    )
    found = calibrated(description, {joint.name: Calibration(-7, lower, upper)}).joints[which]
    assert found.homing_offset == -7
    assert joint.lower_rad <= found.lower_rad < found.upper_rad <= joint.upper_rad
    for angle in (found.lower_rad, found.upper_rad):
        assert lower <= steps_from_radians(angle, found.zero_step, direction) <= upper
    middle = radians_from_steps(round((lower + upper) / 2), found.zero_step, direction)
    assert middle == pytest.approx((joint.lower_rad + joint.upper_rad) / 2, abs=2e-3)


def test_a_joint_that_turns_freely_keeps_its_zero() -> None:
    """LeRobot writes 0 to 4095 for one: that is no range between two stops."""
    found = calibrated(SO101, {"wrist_roll": Calibration(12, 0, 4095)}).joints[4]
    assert found == msgspec.structs.replace(SO101.joints[4], homing_offset=12)


@pytest.mark.parametrize(("closed", "opened"), [(1422, 2674), (2674, 1422)])
def test_the_grippers_ends_are_the_ends_of_its_range(closed: int, opened: int) -> None:
    """Closed stays on the side where the description has it."""
    gripper = msgspec.structs.replace(SO101.gripper, closed_step=closed, open_step=opened)
    arm = msgspec.structs.replace(SO101, gripper=gripper)
    found = calibrated(arm, {"gripper": Calibration(3, 1500, 2500)}).gripper
    assert sorted((found.closed_step, found.open_step)) == [1500, 2500]
    assert (found.closed_step < found.open_step) == (closed < opened)
    assert found.homing_offset == 3


def test_a_calibration_that_does_not_fit_is_refused() -> None:
    """A name that is no joint, a range that is none."""
    with pytest.raises(ArmError, match="elbow, wrist") as caught:
        calibrated(SO101, {"wrist": Calibration(0, 1, 2), "elbow": Calibration(0, 1, 2)})
    assert "calibrate" in caught.value.cure
    for lower, upper in ((5, 5), (-1, 100), (100, 4096)):
        with pytest.raises(ValueError, match="within 0 to 4095"):
            Calibration(0, lower, upper)


def test_nothing_calibrated_is_nothing_changed() -> None:
    """Joints that are not named stay as they are."""
    assert calibrated(SO101, {}) == SO101
    some = calibrated(SO101, {"elbow_flex": Calibration(1, 1000, 3000)})
    assert [a == b for a, b in zip(some.joints, SO101.joints, strict=True)] == [
        True,
        True,
        False,
        True,
        True,
    ]
    assert np.isclose(some.joints[2].upper_rad, 1000 * 2 * math.pi / 4096)
