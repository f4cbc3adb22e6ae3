"""Our chain and MuJoCo's: the same arm, written down twice."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.arms.kinematics import chain_of, forward, jacobian

# Body frames and ranges as in TheRobotStudio/SO-ARM100 so101_new_calib.xml, in quaternions; the
# tool frame is the one of so101.toml (z out of the gripper) instead of the model's gripperframe.
SO101 = """
<mujoco>
  <compiler angle="radian" autolimits="true"/>
  <worldbody>
    <body pos="0.0388353 -8.97657e-09 0.0624" quat="0 0 -1 0">
      <joint name="shoulder_pan" axis="0 0 1" range="-1.91986 1.91986"/><geom size="0.01"/>
      <body pos="-0.0303992 -0.0182778 -0.0542" quat="0.5 -0.5 -0.5 -0.5">
        <joint name="shoulder_lift" axis="0 0 1" range="-1.74533 1.74533"/><geom size="0.01"/>
        <body pos="-0.11257 -0.028 0" quat="0.707107 0 0 0.707107">
          <joint name="elbow_flex" axis="0 0 1" range="-1.69 1.69"/><geom size="0.01"/>
          <body pos="-0.1349 0.0052 0" quat="0.707107 0 0 -0.707107">
            <joint name="wrist_flex" axis="0 0 1" range="-1.65806 1.65806"/><geom size="0.01"/>
            <body pos="0 -0.0611 0.0181" quat="0.0172091 -0.0172091 0.706897 0.706897">
              <joint name="wrist_roll" axis="0 0 1" range="-2.74385 2.84121"/><geom size="0.01"/>
              <site name="tool" pos="-0.0079 -0.000218121 -0.0981274" quat="0 1 0 0"/>
            </body>
          </body>
        </body>
      </body>
    </body>
  </worldbody>
</mujoco>
"""

# Body frames, axes and ranges as in mujoco_menagerie low_cost_robot_arm.xml, the base turned so
# that x is forward; the tool frame is the one of koch.toml.
KOCH = """
<mujoco>
  <compiler angle="radian" autolimits="true"/>
  <worldbody>
    <body name="base_link" quat="0 0 0 1">
      <body pos="0.012 0 0.0409">
        <joint name="shoulder_pan" axis="0 0 -1" range="-2.2 2.2"/><geom size="0.01"/>
        <body pos="0 -0.0209 0.0154">
          <joint name="shoulder_lift" axis="0 1 0" range="-1.57 0.6"/><geom size="0.01"/>
          <body pos="-0.0148 0.0065 0.1083">
            <joint name="elbow_flex" axis="0 -1 0" range="-1.57 1.45"/><geom size="0.01"/>
            <body pos="-0.10048 5e-05 0.0026999">
              <joint name="wrist_flex" axis="0 1 0" range="-2.0 2.0"/><geom size="0.01"/>
              <body pos="-0.045 0.013097 0">
                <joint name="wrist_roll" axis="1 0 0" range="-3.14 3.14"/><geom size="0.01"/>
                <site name="tool" pos="-0.0668 0.00715 0.0005" quat="1 0 -1 0"/>
              </body>
            </body>
          </body>
        </body>
      </body>
    </body>
  </worldbody>
</mujoco>
"""


@pytest.mark.parametrize(("name", "text"), [("so101", SO101), ("koch", KOCH)])
def test_poses_and_jacobians_agree(name: str, text: str) -> None:
    """To 0.1 µm at 100 random joint angles; the quaternions above have six digits."""
    model = mujoco.MjModel.from_xml_string(text)
    data, chain = mujoco.MjData(model), chain_of(load_description(name))
    names = tuple(model.joint(i).name for i in range(model.njnt))
    assert names == chain.names
    np.testing.assert_allclose(model.jnt_range, np.stack([chain.lower, chain.upper], axis=1))
    site = model.site("tool").id
    for joints in np.random.default_rng(7).uniform(chain.lower, chain.upper, (100, 5)):
        data.qpos[:] = joints
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        pose = forward(chain, joints)
        np.testing.assert_allclose(pose.position, data.site_xpos[site], atol=1e-7)
        np.testing.assert_allclose(pose.rotation.ravel(), data.site_xmat[site], atol=1e-6)
        slope = np.zeros((6, 5))
        mujoco.mj_jacSite(model, data, slope[:3], slope[3:], site)
        np.testing.assert_allclose(jacobian(chain, joints), slope, atol=1e-6)
