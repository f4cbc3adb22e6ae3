"""An arm of primitive shapes, from its description alone."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.arms.kinematics import chain_of
from dreamvla_edge.runtime.rotation import Array
from dreamvla_edge.sim.motor import FRICTION

STALL_NM = 2.94
"""Stall torque of an STS3215 at 12 V (30 kg·cm)."""
STIFFNESS = 180.0
"""Of a servo's position loop [N·m/rad]: a joint that holds the whole arm sags by 3 mrad."""
GRIP_N = 30.0
"""What a finger presses with at full torque: stall torque at the jaw's length of 0.1 m."""
FINGERS = ("finger_left", "finger_right")
_LINK_M, _FINGER_M = 0.016, (0.009, 0.005, 0.03)  # radius; half edges
TIP_M = 0.008
"""How far the fingers reach beyond the tool point."""
_MASS_KG, _PALM_KG, _FINGER_KG = 0.09, 0.08, 0.02
_ORANGE, _BLACK = "0.92 0.72 0.2 1", "0.12 0.12 0.13 1"
# What touches what: the arm does not touch itself; see also `world`.
_ARM = 'contype="1" conaffinity="2"'
# Contacts that give way by less than a millimetre in the grip; time constant: two time steps.
HARD = 'solref="0.005 1" solimp="0.95 0.99 0.001"'


def arm_bodies(description: ArmDescription) -> str:
    """MJCF of the arm's bodies; joints have the description's names, the tool is a body `tool`.

    The jaw is a pair of fingers that slide, joints FINGERS, each by 0 (closed) to
    `finger_travel_m`: a turning jaw has no point that stays between its tips.
    """
    chain = chain_of(description)
    points = [*chain.origins[1:], chain.tool.position]
    # The palm ends where the fingers begin.
    points[-1] = chain.tool.position - chain.tool.rotation @ np.array(
        [0, 0, 2 * _FINGER_M[2] - TIP_M]
    )
    text = [
        '<body name="base">',
        f'<geom type="cylinder" size="0.045 0.012" pos="0 0 0.012" rgba="{_BLACK}" {_ARM}/>',
        _link(np.array([0.0, 0.0, 0.02]), chain.origins[0], _ORANGE),
    ]
    for name, at, turn, axis, low, high, end in zip(
        chain.names,
        chain.origins,
        chain.rotations,
        chain.axes,
        chain.lower,
        chain.upper,
        points,
        strict=True,
    ):
        last = name == chain.names[-1]
        text.append(
            f'<body name="{name}" pos="{_row(at)}" quat="{_quaternion(turn)}">'
            f'<joint name="{name}" axis="{_row(axis)}" range="{low} {high}" limited="true"'
            f' armature="0.028" damping="0.6" frictionloss="{FRICTION * STALL_NM:.4g}"/>'
            f'<geom type="sphere" size="{_LINK_M * 1.25}" rgba="{_BLACK}" mass="0.05" {_ARM}/>'
            + _link(np.zeros(3), end, _BLACK if last else _ORANGE, _PALM_KG if last else _MASS_KG)
        )
    text.append(
        f'<body name="tool" pos="{_row(chain.tool.position)}"'
        f' quat="{_quaternion(chain.tool.rotation)}">'
        # Looks along the fingers, at what is between them.
        f'<camera name="wrist" pos="-0.055 0 -0.085" xyaxes="0 1 0 0.93 0 -0.36" fovy="75"/>'
    )
    bar = (_FINGER_M[0], description.gripper.finger_travel_m + 2 * _FINGER_M[1], 0.006)
    text.append(
        f'<geom type="box" size="{_row(bar)}" pos="0 0 {TIP_M - 2 * _FINGER_M[2] - bar[2]}"'
        f' rgba="{_BLACK}" mass="0.02" {_ARM}/>'
    )
    for name, side in zip(FINGERS, (1, -1), strict=True):
        text.append(
            f'<body name="{name}" pos="0 {side * _FINGER_M[1]} {TIP_M - _FINGER_M[2]}">'
            f'<joint name="{name}" type="slide" axis="0 {side} 0" limited="true"'
            f' range="0 {description.gripper.finger_travel_m}" armature="0.05" damping="8"/>'
            f'<geom type="box" size="{_row(_FINGER_M)}" rgba="{_BLACK}" mass="{_FINGER_KG}"'
            f' friction="1.5 0.05 0.0005" condim="4" priority="1" {HARD} {_ARM}/></body>'
        )
    return "\n".join([*text, "</body>" * (len(chain.names) + 2)])


def arm_actuators(description: ArmDescription) -> str:
    """MJCF of the servos: one per joint, in order, and one for both fingers."""
    text = [
        f'<position name="{joint.name}" joint="{joint.name}" kp="{STIFFNESS}" kv="2.5"'
        f' forcerange="-{STALL_NM} {STALL_NM}" ctrlrange="{joint.lower_rad} {joint.upper_rad}"/>'
        for joint in description.joints
    ]
    travel = description.gripper.finger_travel_m
    text += [
        f'<position name="{finger}" joint="{finger}" kp="900" kv="15"'
        f' forcerange="-{GRIP_N} {GRIP_N}" ctrlrange="0 {travel}"/>'
        for finger in FINGERS
    ]
    return "\n".join(text)


def _link(begin: Array, end: Array, colour: str, mass_kg: float = _MASS_KG) -> str:
    if np.linalg.norm(end - begin) < 1e-6:
        return ""
    return (
        f'<geom type="capsule" size="{_LINK_M}" fromto="{_row(begin)} {_row(end)}"'
        f' rgba="{colour}" mass="{mass_kg}" {_ARM}/>'
    )


def _quaternion(rotation: Array) -> str:
    found = np.empty(4)
    mujoco.mju_mat2Quat(found, np.ascontiguousarray(rotation).ravel())
    return _row(found)


def _row(numbers: Sequence[float] | Array) -> str:
    return " ".join(f"{float(number):.9g}" for number in numbers)
