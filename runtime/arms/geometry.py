"""The geometry of an arm from a URDF or MJCF file beside its description.

`urdf = "arm.urdf"` or `mjcf = "arm.xml"` in the TOML file gives every joint its frame, axis and
limits, and the tool point its frame. What the TOML file says itself counts more. Two keys say
what in the model is meant: `source` of a joint, if the model calls it otherwise, and `source` of
the tool, a link (URDF), body or site (MJCF), in whose frame the tool point then stands.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dreamvla_edge.runtime.arms.mjcf import mjcf_path
from dreamvla_edge.runtime.arms.model_file import Hinge, fold, origin, transform
from dreamvla_edge.runtime.arms.urdf import urdf_path
from dreamvla_edge.runtime.rotation import Array, matrix_from_euler

# key of the description -> reads (file, tool) into the way from base to tool
_READERS: Mapping[str, Callable[[bytes, str], list[Array | Hinge]]] = {
    "urdf": urdf_path,
    "mjcf": mjcf_path,
}


def with_geometry(description: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """A raw description, with what its model file in `folder` says filled in.

    Raises ValueError if the model does not fit, OSError if it cannot be read.
    """
    filled = dict(description)
    keys = _READERS.keys() & filled.keys()
    if not keys:
        return filled
    if len(keys) > 1:
        raise ValueError("urdf and mjcf are both given; one of them has to do")
    (key,) = keys
    file = folder / str(filled.pop(key))
    tool = dict(filled.get("tool", {}))
    link = tool.pop("source", None)
    if link is None:
        raise ValueError(f"tool needs a `source`: what of {file.name} carries the tool point")
    placed, last = fold(_READERS[key](file.read_bytes(), link))
    joints = [dict(joint) for joint in filled.get("joints", [])]
    wanted = [joint.pop("source", joint.get("name")) for joint in joints]
    present = [hinge.name for _, hinge in placed]
    if wanted != present:
        raise ValueError(
            f"between base and {link!r}, {file.name} has the joints {present}, not {wanted}"
        )
    filled["joints"] = [
        {**_of_hinge(hinge), **origin(frame), **joint}
        for joint, (frame, hinge) in zip(joints, placed, strict=True)
    ]
    own = transform(
        np.array(tool.get("origin_m", (0.0, 0.0, 0.0)), float),
        matrix_from_euler(tool.get("origin_rpy_rad", (0.0, 0.0, 0.0))),
    )
    filled["tool"] = {**tool, **origin(last @ own)}
    return filled


def _of_hinge(hinge: Hinge) -> dict[str, Any]:
    limits = {"lower_rad": hinge.lower, "upper_rad": hinge.upper}
    known = {name: angle for name, angle in limits.items() if angle is not None}
    return {"axis": list(hinge.axis), **known}
