"""The part of MJCF that an arm's geometry is: bodies, hinges and their defaults.

https://mujoco.readthedocs.io/en/stable/XMLreference.html. Not read, but refused where it would
change the geometry: <include>, <replicate>, <frame>, zaxis, joints other than hinges, ref.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from xml.etree.ElementTree import Element

import numpy as np

from dreamvla_edge.runtime.arms.model_file import Hinge, numbers, parse_xml, transform, unit
from dreamvla_edge.runtime.rotation import Array, matrix_from_axis_angle

_MAIN = "main"


@dataclass(frozen=True)
class _Settings:
    """How the file's numbers are meant.

    angle: radians per unit; sequence: order of the Euler angles; joints: default class -> the
    attributes that it gives a joint.
    """

    angle: float
    sequence: str
    joints: Mapping[str, Mapping[str, str]]


def mjcf_path(data: bytes, tool: str) -> list[Array | Hinge]:
    """What lies between the world and the body or site `tool`, in order.

    Raises ValueError if the file is no MJCF, has no such body or site, or uses what is not read.
    """
    root = parse_xml(data)
    if root.tag != "mujoco":
        raise ValueError(f"an MJCF begins with <mujoco>, not <{root.tag}>")
    for tag in ("include", "replicate", "frame"):
        if root.find(f".//{tag}") is not None:
            raise ValueError(f"<{tag}> is not understood: save the model from MuJoCo first")
    compiler = root.find("compiler")
    options = {} if compiler is None else compiler.attrib
    settings = _Settings(
        angle=1.0 if options.get("angle") == "radian" else math.pi / 180,
        sequence=options.get("eulerseq", "xyz"),
        joints=_joint_defaults(root),
    )
    world = root.find("worldbody")
    path = None if world is None else _descend(world, tool, _MAIN, settings)
    if path is None:
        raise ValueError(f"no body or site is called {tool!r}")
    return path


def _joint_defaults(root: Element) -> dict[str, dict[str, str]]:
    """Default class -> joint attributes, those of the classes around it included."""
    found: dict[str, dict[str, str]] = {_MAIN: {}}

    def collect(element: Element, name: str, inherited: dict[str, str]) -> None:
        own = element.find("joint")
        found[name] = {**inherited, **(own.attrib if own is not None else {})}
        for inner in element.findall("default"):
            collect(inner, inner.get("class", _MAIN), found[name])

    for element in root.findall("default"):
        collect(element, element.get("class", _MAIN), found[_MAIN])
    return found


def _descend(
    parent: Element, tool: str, child_class: str, settings: _Settings
) -> list[Array | Hinge] | None:
    """The way from the frame of the body `parent` to `tool`, or None if it is not in there."""
    for site in parent.findall("site"):
        if site.get("name") == tool:
            return [_frame(site, settings)]
    for body in parent.findall("body"):
        own_class = body.get("childclass", child_class)
        rest = [] if body.get("name") == tool else _descend(body, tool, own_class, settings)
        if rest is not None:
            hinges = [part for joint in body for part in _hinge(joint, own_class, settings)]
            return [_frame(body, settings), *hinges, *rest]
    return None


def _hinge(element: Element, child_class: str, settings: _Settings) -> list[Array | Hinge]:
    """A joint of a body: to its anchor, the turn, and back. Nothing for another element."""
    if element.tag == "freejoint":
        raise ValueError("a free joint is no part of an arm")
    if element.tag != "joint":
        return []
    defaults = settings.joints.get(element.get("class", child_class), {})
    joint = {**defaults, **element.attrib}
    name = joint.get("name", "")
    if joint.get("type", "hinge") != "hinge" or float(joint.get("ref", "0")) != 0:
        raise ValueError(f"joint {name!r} is no hinge that is at 0 in the model's pose")
    anchor = numbers(joint.get("pos", "0 0 0"), 3)
    axis = unit(numbers(joint.get("axis", "0 0 1"), 3))
    lower: float | None = None
    upper: float | None = None
    if "range" in joint and joint.get("limited", "auto") != "false":
        lower, upper = (settings.angle * numbers(joint["range"], 2)).tolist()
    return [
        transform(anchor, np.eye(3)),
        Hinge(name, tuple(axis.tolist()), lower, upper),
        transform(-anchor, np.eye(3)),
    ]


def _frame(element: Element, settings: _Settings) -> Array:
    """Frame (4, 4) of a body or site in the body around it."""
    return transform(numbers(element.get("pos", "0 0 0"), 3), _rotation(element, settings))


def _rotation(element: Element, settings: _Settings) -> Array:
    if "zaxis" in element.attrib:
        raise ValueError("zaxis is not understood: save the model from MuJoCo first")
    if "quat" in element.attrib:
        w, *xyz = unit(numbers(element.attrib["quat"], 4))
        vector = np.array(xyz)
        half_sine = float(np.linalg.norm(vector))
        angle = 2 * math.atan2(half_sine, w)
        return matrix_from_axis_angle(vector / half_sine * angle if half_sine else vector)
    if "axisangle" in element.attrib:
        *axis, turn = numbers(element.attrib["axisangle"], 4)
        return matrix_from_axis_angle(unit(np.array(axis)) * turn * settings.angle)
    if "xyaxes" in element.attrib:
        x, y = numbers(element.attrib["xyaxes"], 6).reshape(2, 3)
        x = unit(x)
        y = unit(y - (x @ y) * x)
        return np.stack([x, y, np.cross(x, y)], axis=1)
    rotation = np.eye(3)
    for letter, turn in zip(
        settings.sequence, numbers(element.get("euler", "0 0 0"), 3), strict=True
    ):
        axis = np.eye(3)["xyz".index(letter.lower())] * turn * settings.angle
        turned = matrix_from_axis_angle(axis)
        # Small letters turn about the axes that turn along, capital ones about fixed axes.
        rotation = rotation @ turned if letter.islower() else turned @ rotation
    return rotation
