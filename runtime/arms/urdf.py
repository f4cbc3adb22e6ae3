"""The part of URDF that an arm's geometry is: links and joints. http://wiki.ros.org/urdf/XML"""

from __future__ import annotations

from xml.etree.ElementTree import Element

from dreamvla_edge.runtime.arms.model_file import Hinge, numbers, parse_xml, transform, unit
from dreamvla_edge.runtime.rotation import Array, matrix_from_euler


def urdf_path(data: bytes, tool: str) -> list[Array | Hinge]:
    """What lies between the root link and the link `tool`, in order.

    Raises ValueError if the file is no URDF, has no such link, or a joint on the way is neither
    revolute nor fixed.
    """
    root = parse_xml(data)
    if root.tag != "robot":
        raise ValueError(f"a URDF begins with <robot>, not <{root.tag}>")
    links = {link.get("name") for link in root.findall("link")}
    if tool not in links:
        raise ValueError(f"no link is called {tool!r}")
    above = {_link(joint, "child"): joint for joint in root.findall("joint")}
    path: list[Array | Hinge] = []
    link = tool
    while link in above:
        joint = above.pop(link)  # a link that is its own ancestor ends the way
        path = [*_parts(joint), *path]
        link = _link(joint, "parent")
    return path


def _parts(joint: Element) -> list[Array | Hinge]:
    """A joint's frame in its parent link, then what turns."""
    origin = joint.find("origin")
    place = {} if origin is None else origin.attrib
    frame = transform(
        numbers(place.get("xyz", "0 0 0"), 3),
        matrix_from_euler(numbers(place.get("rpy", "0 0 0"), 3)),
    )
    kind, name = joint.get("type"), joint.get("name", "")
    if kind == "fixed":
        return [frame]
    if kind not in ("revolute", "continuous"):
        raise ValueError(f"joint {name!r} is {kind}, not revolute or fixed")
    axis = joint.find("axis")
    direction = unit(numbers("1 0 0" if axis is None else axis.get("xyz", ""), 3))
    limit = joint.find("limit") if kind == "revolute" else None
    lower, upper = (None if limit is None else _end(limit, end) for end in ("lower", "upper"))
    return [frame, Hinge(name, tuple(direction.tolist()), lower, upper)]


def _end(limit: Element, end: str) -> float:
    return float(numbers(limit.get(end, "0"), 1)[0])


def _link(joint: Element, end: str) -> str:
    found = joint.find(end)
    name = None if found is None else found.get("link")
    if name is None:
        raise ValueError(f"joint {joint.get('name')!r} has no {end} link")
    return name
