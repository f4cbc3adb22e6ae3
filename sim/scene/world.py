"""The model: table, blocks, cameras and lights around an arm, as MJCF."""

from __future__ import annotations

import mujoco
import numpy as np

from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.rotation import Array

from .arm_body import HARD, arm_actuators, arm_bodies
from .layout import BLOCK_M, COLOURS
from .things import things

TIME_STEP_S = 0.0025
CAMERA_M, LOOK_M = (0.62, 0.0, 0.5), (0.1, 0.0, 0.03)
"""The primary camera and what it looks at."""
AWAY_M = 3.0
"""Where blocks wait that are not in an episode: behind the primary camera."""
_BLOCK_KG = 0.025


def model_of(description: ArmDescription) -> mujoco.MjModel:
    """The scene with this arm, everything at a default place; a body per block, by its colour.

    Raises ValueError if MuJoCo does not take it.
    """
    blocks = "\n".join(
        f'<body name="{colour}" pos="{AWAY_M} {i} {BLOCK_M / 2}"><freejoint name="{colour}"/>'
        f'<geom name="{colour}" type="box" size="{BLOCK_M / 2} {BLOCK_M / 2} {BLOCK_M / 2}"'
        f' rgba="{rgb[0]} {rgb[1]} {rgb[2]} 1" mass="{_BLOCK_KG}" friction="0.4 0.02 0.0002"'
        f' condim="4" {HARD} contype="4" conaffinity="5"/></body>'
        for i, (colour, rgb) in enumerate(COLOURS.items())
    )
    return mujoco.MjModel.from_xml_string(f"""
<mujoco model="{description.name} on a table">
  <compiler angle="radian" autolimits="true"/>
  <option timestep="{TIME_STEP_S}" integrator="implicitfast" cone="elliptic" impratio="10"/>
  <visual>
    <global offwidth="640" offheight="640"/>
    <quality shadowsize="0" offsamples="0" numslices="14" numstacks="7" numquads="2"/>
    <map znear="0.02" zfar="20"/>
    <headlight ambient="0.35 0.35 0.35" diffuse="0.25 0.25 0.25" specular="0 0 0"/>
  </visual>
  <asset>
    <texture type="skybox" builtin="gradient" rgb1="0.75 0.8 0.85" rgb2="0.45 0.45 0.45"
      width="32" height="192"/>
  </asset>
  <worldbody>
    <light name="lamp" pos="0.3 0.3 1.2" dir="-0.1 -0.3 -1" diffuse="0.6 0.6 0.6"
      specular="0.1 0.1 0.1" castshadow="false"/>
    <geom name="table" type="plane" size="4 4 2" rgba="0.6 0.52 0.42 1" contype="2"
      conaffinity="5" friction="0.4 0.01 0.0001"/>
    <camera name="primary" pos="0 0 1" fovy="44"/>
    {arm_bodies(description)}
    {things()}
    {blocks}
  </worldbody>
  <actuator>
    {arm_actuators(description)}
  </actuator>
</mujoco>
""")


def looking(at: Array, from_: Array) -> Array:
    """Quaternion (4,) of a camera at `from_` (3,) [m] that looks at a point, its horizon level."""
    back = (from_ - at) / np.linalg.norm(from_ - at)
    right = np.cross([0.0, 0.0, 1.0], back)
    right /= np.linalg.norm(right)
    found = np.empty(4)
    mujoco.mju_mat2Quat(found, np.stack([right, np.cross(back, right), back], axis=1).ravel())
    return found
