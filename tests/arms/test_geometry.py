"""Geometry from URDF and MJCF files, against MuJoCo's own reading of the same files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import mujoco
import numpy as np
import pytest

from dreamvla_edge.runtime.arms.description import ArmDescription, load_description
from dreamvla_edge.runtime.arms.geometry import with_geometry
from dreamvla_edge.runtime.arms.kinematics import chain_of, forward
from dreamvla_edge.runtime.arms.mjcf import mjcf_path
from dreamvla_edge.runtime.arms.model_file import Hinge, fold, parse_xml
from dreamvla_edge.runtime.arms.urdf import urdf_path
from dreamvla_edge.runtime.errors import ArmError
from dreamvla_edge.runtime.rotation import Array, matrix_from_axis_angle

JOINTS = ("pan", "lift", "elbow", "flex", "roll")
INERTIA = (
    '<inertial><mass value="1"/>'
    '<inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/></inertial>'
)

# Fixed joints at the base, between joints and before the tool; axes of every kind and length.
URDF = f"""<?xml version="1.0"?>
<robot name="crooked">
  <link name="world"/>
  <link name="base">{INERTIA}</link>
  <link name="a">{INERTIA}</link>
  <link name="b">{INERTIA}</link>
  <link name="c">{INERTIA}</link>
  <link name="c2">{INERTIA}</link>
  <link name="d">{INERTIA}</link>
  <link name="e">{INERTIA}</link>
  <link name="hand">{INERTIA}</link>
  <link name="jaw">{INERTIA}</link>
  <joint name="stand" type="fixed"><parent link="world"/><child link="base"/>
    <origin xyz="0.1 -0.2 0.3" rpy="0.1 0.2 -0.3"/></joint>
  <joint name="lift" type="revolute"><parent link="a"/><child link="b"/>
    <origin xyz="0 0.02 0.05" rpy="1.5 0 0.3"/><axis xyz="0 2 0"/>
    <limit lower="-1.7" upper="1.2" effort="1" velocity="1"/></joint>
  <joint name="pan" type="revolute"><parent link="base"/><child link="a"/>
    <origin xyz="0.03 0 0.06"/><axis xyz="0 0 1"/>
    <limit lower="-1.9" upper="1.8" effort="1" velocity="1"/></joint>
  <joint name="elbow" type="revolute"><parent link="b"/><child link="c"/>
    <origin xyz="0.1 0 0" rpy="0 -1.57 0"/><axis xyz="0 -0.6 0.8"/>
    <limit lower="-1.5" upper="1.6" effort="1" velocity="1"/></joint>
  <joint name="extension" type="fixed"><parent link="c"/><child link="c2"/>
    <origin xyz="0.02 0.03 0" rpy="0 0 0.7"/></joint>
  <joint name="flex" type="revolute"><parent link="c2"/><child link="d"/>
    <origin xyz="0.1 0 0.01" rpy="0.2 0.3 0.4"/>
    <limit lower="-1.4" upper="1.3" effort="1" velocity="1"/></joint>
  <joint name="roll" type="continuous"><parent link="d"/><child link="e"/>
    <origin xyz="0.05 0 0" rpy="0 1.57 0"/><axis xyz="-1 0 0"/></joint>
  <joint name="grip" type="fixed"><parent link="e"/><child link="hand"/>
    <origin xyz="0 0.01 0.08" rpy="3.1 0.1 0"/></joint>
  <joint name="jaw" type="prismatic"><parent link="hand"/><child link="jaw"/>
    <origin xyz="0 0 0"/><axis xyz="1 0 0"/><limit lower="0" upper="1" effort="1" velocity="1"/>
  </joint>
</robot>"""

# Degrees, nested default classes, childclass, anchors away from the body's origin, every way to
# write an orientation, a body without a joint, a branch that leads elsewhere.
MJCF = """<mujoco model="crooked">
  <compiler angle="degree" eulerseq="XYz" autolimits="true"/>
  <default>
    <joint axis="0 1 0"/>
    <default class="arm"><joint range="-90 95"/>
      <default class="slow"><joint axis="0 0 -3" damping="1"/></default>
    </default>
  </default>
  <worldbody>
    <body name="stand" pos="0.1 0.2 0" euler="10 20 30" childclass="arm">
      <geom size="0.01"/>
      <body name="aside"><joint name="other" type="slide"/><geom size="0.01"/></body>
      <body name="a" pos="0 0 0.05" quat="2 0 0 1">
        <joint name="pan" class="slow" pos="0.01 0.02 0" range="-100 90"/><geom size="0.01"/>
        <body name="b" pos="0 0.02 0.06" axisangle="1 1 0 40">
          <joint name="lift"/><geom size="0.01"/>
          <body name="c" pos="0.1 0 0" xyaxes="0 1 0 -1 0.5 0" childclass="slow">
            <joint name="elbow" axis="1 0.2 0" pos="0 0 0.03"/><geom size="0.01"/>
            <body name="c2" pos="0.02 0 0.02" euler="0 0 25">
              <geom size="0.01"/>
              <body name="d" pos="0.07 0 0">
                <joint name="flex"/><geom size="0.01"/>
                <body name="e" pos="0.05 0 0" quat="0.5 0.5 -0.5 0.5">
                  <joint name="roll" type="hinge" limited="false"/><geom size="0.01"/>
                  <site name="tip" pos="0 0.01 0.09" euler="5 -70 8"/>
                </body>
              </body>
            </body>
          </body>
        </body>
      </body>
    </body>
  </worldbody>
</mujoco>"""


def tool_frame(path: list[Array | Hinge], angles: Array) -> Array:
    """The tool's frame (4, 4) with the hinges at these angles [rad]."""
    placed, last = fold(path)
    frame = np.eye(4)
    for (origin, hinge), angle in zip(placed, angles, strict=True):
        turn = np.eye(4)
        turn[:3, :3] = matrix_from_axis_angle(np.array(hinge.axis) * angle)
        frame = frame @ origin @ turn
    return frame @ last


@pytest.mark.parametrize(
    ("read", "text", "tool", "kind"),
    [
        (urdf_path, URDF, "hand", "body"),
        (mjcf_path, MJCF, "tip", "site"),
        (mjcf_path, MJCF, "e", "body"),
    ],
)
def test_the_tool_is_where_mujoco_has_it(read: Any, text: str, tool: str, kind: str) -> None:
    """At random joint angles, to a nanometre; limits and order too."""
    # MuJoCo joins links that are fixed to one another unless it is told not to.
    told = text.replace(
        '<robot name="crooked">',
        '<robot name="crooked"><mujoco><compiler fusestatic="false"/></mujoco>',
    )
    model = mujoco.MjModel.from_xml_string(told)
    data = mujoco.MjData(model)
    path = read(text.encode(), tool)
    hinges = [part for part in path if isinstance(part, Hinge)]
    assert tuple(hinge.name for hinge in hinges) == JOINTS
    at = [model.joint(name).qposadr[0] for name in JOINTS]
    for hinge in hinges:
        joint = model.joint(hinge.name)
        if joint.limited[0]:
            np.testing.assert_allclose([hinge.lower, hinge.upper], joint.range, atol=1e-12)
        else:
            assert hinge.lower is None and hinge.upper is None
    for angles in np.random.default_rng(3).uniform(-1.5, 1.5, (50, 5)):
        data.qpos[at] = angles
        mujoco.mj_kinematics(model, data)
        there = getattr(data, kind)(tool)
        frame = tool_frame(path, angles)
        np.testing.assert_allclose(frame[:3, 3], there.xpos, atol=1e-9)
        np.testing.assert_allclose(frame[:3, :3].ravel(), there.xmat, atol=1e-9)


def description_of(key: str, source: str, **changes: Any) -> dict[str, Any]:
    """A raw description that leaves its geometry to a file."""
    raw: dict[str, Any] = msgspec.to_builtins(load_description("so101"))
    joints = [
        {k: j[k] for k in ("name", "servo", "zero_step", "direction")} | {"source": name}
        for j, name in zip(raw["joints"], JOINTS, strict=True)
    ]
    joints[4] |= {"lower_rad": -2.0, "upper_rad": 2.0}  # the file has none
    tool = {"source": source, "orientation_weight_m": 0.01}
    return {**raw, key: f"arm.{key}", "joints": joints, "tool": tool, **changes}


@pytest.mark.parametrize(("key", "text", "source"), [("urdf", URDF, "hand"), ("mjcf", MJCF, "tip")])
def test_a_description_may_leave_its_geometry_to_a_file(
    tmp_path: Path, key: str, text: str, source: str
) -> None:
    """The chain of the arm is the one of the file, and its own tool point counts from the link."""
    (tmp_path / f"arm.{key}").write_text(text)
    raw = description_of(key, source)
    raw["tool"] |= {"origin_m": [0.01, 0, 0.02]}
    description = msgspec.convert(with_geometry(raw, tmp_path), ArmDescription)
    chain = chain_of(description)
    read = {"urdf": urdf_path, "mjcf": mjcf_path}[key]
    for angles in np.random.default_rng(5).uniform(-1, 1, (10, 5)):
        frame = tool_frame(read(text.encode(), source), angles)
        pose = forward(chain, angles)
        np.testing.assert_allclose(pose.position, (frame @ [0.01, 0, 0.02, 1])[:3], atol=1e-12)
        np.testing.assert_allclose(pose.rotation, frame[:3, :3], atol=1e-12)
    assert description.joints[4].lower_rad == -2.0


def test_a_toml_file_with_a_urdf_beside_it(tmp_path: Path) -> None:
    """As a user writes it; a wrong file is an ArmError that says what is wrong."""
    toml = [
        'name = "crooked"\nprotocol = "feetech"\nmodel = 777\nbaud = 1000000\nurdf = "arm.urdf"\n',
        *(
            f'[[joints]]\nname = "{name}"\nservo = {i}\nzero_step = 2048\ndirection = 1\n'
            + ("lower_rad = -2\nupper_rad = 2\n" if name == "roll" else "")
            for i, name in enumerate(JOINTS, 1)
        ),
        "[gripper]\nservo = 6\nclosed_step = 1000\nopen_step = 2000\nfinger_travel_m = 0.03\n",
        '[tool]\nsource = "hand"\norientation_weight_m = 0.01\n',
        "[limits]\nvelocity_rad_s = 1\nacceleration_rad_s2 = 8\nstop_acceleration_rad_s2 = 30\n",
        "windup_rad = 0.3\nstall = { current_a = 1, error_rad = 0.1, persistence_s = 0.4 }\n",
        "temperature_c = [60, 65]\nvoltage_v = [5, 14]\n",
    ]
    file = tmp_path / "crooked.toml"
    file.write_text("".join(toml))
    with pytest.raises(ArmError, match="arm.urdf"):
        load_description(str(file))
    (tmp_path / "arm.urdf").write_text(URDF)
    description = load_description(str(file))
    assert description.joints[0].upper_rad == 1.8
    assert description.limits.workspace_m is None
    (tmp_path / "arm.urdf").write_text(
        URDF.replace('"elbow" type="revolute"', '"elbow" type="floating"')
    )
    with pytest.raises(ArmError, match="'elbow' is floating"):
        load_description(str(file))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mjcf": "arm.xml"}, "both given"),
        ({"tool": {"orientation_weight_m": 1}}, "needs a `source`"),
        ({"tool": {"source": "foot", "orientation_weight_m": 1}}, "no link is called 'foot'"),
        ({"joints": []}, "has the joints"),
        ({"tool": {"source": "jaw", "orientation_weight_m": 1}}, "'jaw' is prismatic"),
    ],
)
def test_a_description_that_does_not_fit_its_file_is_refused(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    """Each with its own reason."""
    (tmp_path / "arm.urdf").write_text(URDF)
    with pytest.raises(ValueError, match=message):
        with_geometry(description_of("urdf", "hand", **change), tmp_path)


BOMB = """<?xml version="1.0"?>
<!DOCTYPE robot [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<robot name="&b;"/>"""
FILE = '<!DOCTYPE robot [<!ENTITY x SYSTEM "file:///etc/passwd">]><robot>&x;</robot>'
PARAMETER = '<!DOCTYPE robot SYSTEM "http://127.0.0.1:9/robot.dtd"><robot/>'


@pytest.mark.parametrize("text", [BOMB, FILE, PARAMETER])
@pytest.mark.parametrize("coding", ["utf-8", "utf-16"])
def test_entities_are_refused(text: str, coding: str) -> None:
    """In any coding: they could read files, open connections or fill the memory."""
    text = text.replace('<?xml version="1.0"?>', "")
    with pytest.raises(ValueError, match="document type"):
        parse_xml(text.encode(coding))


@pytest.mark.parametrize(
    ("read", "text", "message"),
    [
        (urdf_path, "<robot", "no XML"),
        (urdf_path, "<mujoco/>", "begins with <robot>"),
        (mjcf_path, "<robot/>", "begins with <mujoco>"),
        (mjcf_path, "<mujoco/>", "no body or site"),
        (mjcf_path, MJCF.replace('"tip"', '"top"'), "no body or site"),
        (mjcf_path, MJCF.replace("<worldbody>", '<include file="x"/><worldbody>'), "<include>"),
        (mjcf_path, MJCF.replace('type="hinge"', 'type="ball"'), "no hinge"),
        (mjcf_path, MJCF.replace('type="hinge"', 'ref="5"'), "no hinge"),
        (mjcf_path, MJCF.replace('quat="2 0 0 1"', 'zaxis="0 1 0"'), "zaxis"),
        (mjcf_path, MJCF.replace('quat="2 0 0 1"', 'quat="0 0 0 0"'), "zero"),
        (mjcf_path, MJCF.replace('pos="0 0 0.05"', 'pos="0 0"'), "3 numbers"),
        (mjcf_path, MJCF.replace('pos="0 0 0.05"', 'pos="0 0 inf"'), "3 numbers"),
        (mjcf_path, MJCF.replace('<joint name="lift"/>', "<freejoint/>"), "free joint"),
        (urdf_path, URDF.replace('<child link="a"/>', ""), "no child link"),
        (urdf_path, URDF.replace('xyz="0 2 0"', 'xyz="0 0 0"'), "zero"),
    ],
)
def test_broken_files_are_refused(read: Any, text: str, message: str) -> None:
    """With the reason, and without anything but ValueError."""
    with pytest.raises(ValueError, match=message):
        read(text.encode(), "hand" if read is urdf_path else "tip")


def test_links_in_a_circle_end_somewhere() -> None:
    """A URDF whose base hangs on its own hand."""
    circle = URDF.replace('<parent link="world"/>', '<parent link="hand"/>')
    assert len([p for p in urdf_path(circle.encode(), "hand") if isinstance(p, Hinge)]) == 5


def test_a_huge_file_is_refused() -> None:
    """Before it is parsed."""
    with pytest.raises(ValueError, match="too many"):
        parse_xml(b" " * 10_000_001)
