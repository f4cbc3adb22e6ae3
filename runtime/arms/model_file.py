"""What URDF and MJCF files have in common: XML, and a path of fixed transforms and hinges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from dreamvla_edge.runtime.rotation import Array, euler_from_matrix

_LARGEST = 10_000_000  # bytes; the largest robot models have a tenth of it


class Hinge(NamedTuple):
    """A revolute joint: name, unit axis in its own frame, limits [rad] if there are any."""

    name: str
    axis: tuple[float, ...]
    lower: float | None
    upper: float | None


class PlacedHinge(NamedTuple):
    """A hinge and its frame (4, 4) in the frame of the hinge before it."""

    frame: Array
    hinge: Hinge


def parse_xml(data: bytes) -> ElementTree.Element:
    """The root of an XML document.

    Raises ValueError if it is no XML, larger than 10 MB or declares a document type: entities
    could make it read other files or grow without end, and no robot model needs them.
    """
    if len(data) > _LARGEST:
        raise ValueError(f"{len(data)} bytes are too many for a robot model")
    try:
        return ElementTree.fromstring(data, ElementTree.XMLParser(target=_PlainTree()))
    except ElementTree.ParseError as error:
        raise ValueError(f"no XML: {error}") from error


class _PlainTree(ElementTree.TreeBuilder):
    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise ValueError("the file declares a document type, which is not allowed")


def numbers(text: str, count: int) -> Array:
    """So many finite numbers (count,). Raises ValueError if there are others."""
    values = np.array([float(word) for word in text.split()])
    if values.shape != (count,) or not np.isfinite(values).all():
        raise ValueError(f"{text!r} is not {count} numbers")
    return values


def unit(vector: Array) -> Array:
    """The vector at length 1. Raises ValueError if it has none."""
    length = float(np.linalg.norm(vector))
    if length == 0:
        raise ValueError("a direction is zero")
    return vector / length


def transform(position: Array, rotation: Array) -> Array:
    """The frame (4, 4) at `position` (3,) turned by `rotation` (3, 3)."""
    frame = np.eye(4)
    frame[:3, :3], frame[:3, 3] = rotation, position
    return frame


def fold(path: Sequence[Array | Hinge]) -> tuple[list[PlacedHinge], Array]:
    """The hinges along a path from base to tool, and the tool's frame (4, 4) in the last one's.

    path: what lies between them in order, fixed transforms (4, 4) and hinges.
    """
    placed: list[PlacedHinge] = []
    frame = np.eye(4)
    for part in path:
        if isinstance(part, Hinge):
            placed.append(PlacedHinge(frame, part))
            frame = np.eye(4)
        else:
            frame = frame @ part
    return placed, frame


def origin(frame: Array) -> dict[str, list[float]]:
    """A frame (4, 4) in the terms of a description."""
    return {
        "origin_m": frame[:3, 3].tolist(),
        "origin_rpy_rad": [float(angle) for angle in euler_from_matrix(frame[:3, :3])],
    }
