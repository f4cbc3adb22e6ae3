"""A specification refuses values that cannot be meant, and survives being stored."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dreamvla_edge.export.data_set import load_data_set
from dreamvla_edge.runtime.specification import Dimension, Specification


def calvin() -> dict[str, Any]:
    """The CALVIN specification as a JSON document."""
    document: dict[str, Any] = msgspec.to_builtins(load_data_set("calvin").specification)
    return document


def edited(document: Any, path: str, value: Any) -> Any:
    """The document with the value at `a.b.0.c` replaced."""
    *parents, leaf = [int(key) if key.isdigit() else key for key in path.split(".")]
    place = document
    for key in parents:
        place[key] = list(place[key]) if isinstance(place[key], tuple) else place[key]
        place = place[key]
    place[leaf] = value
    return document


@pytest.mark.parametrize("name", ["calvin", "libero"])
def test_a_specification_survives_the_bundle(name: str) -> None:
    """It is stored as JSON."""
    specification = load_data_set(name).specification
    stored = msgspec.json.encode(specification)
    assert msgspec.json.decode(stored, type=Specification) == specification


def test_a_specification_cannot_be_changed() -> None:
    """Nor can what it holds."""
    specification = load_data_set("calvin").specification
    with pytest.raises(AttributeError, match="immutable"):
        specification.action.rate_hz = 10.0  # type: ignore[misc]


UNUSED = {"name": "unused", "unit": "1"}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("name", "", "needs a name"),
        ("action.dimensions", [], "six arm dimensions are needed, 0 are given"),
        ("action.dimensions", [{"name": c, "unit": "m"} for c in "abcdefg"], "7 are given"),
        ("action.dimensions", [UNUSED] * 6, "at least one"),
        ("action.dimensions.1.name", "x", "same name"),
        ("action.dimensions.1.name", "", "needs a name"),
        ("action.dimensions.1.unit", "rad", "has the unit rad, it must be m"),
        ("action.dimensions.1.unit", "mm", "Invalid enum value 'mm'"),
        ("action.dimensions.1.scale", 0, "scale must be"),
        ("action.dimensions.1.scale", float("nan"), "scale must be"),
        ("action.dimensions.1.scale", float("inf"), "scale must be"),
        ("action.dimensions.1.scale", "0.02", "Expected `float`, got `str`"),
        ("action.dimensions.1.offset", float("nan"), "offset must be"),
        ("action.rate_hz", 0, "rate_hz must be"),
        ("action.rate_hz", -30, "rate_hz must be"),
        ("action.rate_hz", float("inf"), "rate_hz must be"),
        ("action.rate_hz", float("nan"), "rate_hz must be"),
        ("action.ensemble_decay", -0.01, "ensemble_decay must be"),
        ("action.ensemble_decay", float("nan"), "ensemble_decay must be"),
        ("action.gripper.threshold", float("nan"), "threshold must be"),
        ("action.rotation", "none", "needs a rotation form"),
        ("action.kind", "joints", "has no meaning for joints"),
        ("action.kind", "delta_joints", "has no meaning for delta_joints"),
        ("action.chunk", "last", "Invalid enum value 'last'"),
        ("action.speed", 1, "unknown field `speed`"),
        ("state.dimensions", [UNUSED] * 5, "5 are given"),
        ("state.gripper", "width", "Invalid enum value 'width'"),
        ("cameras.1.role", "primary", "primary, then wrist"),
        ("cameras.0.role", "wrist", "primary, then wrist"),
        ("cameras", [], "length 2"),
        ("cameras.0.height", 0, "above zero"),
        ("cameras.0.width", -1, "above zero"),
        ("cameras.0.crop", [0, 0, 201, 200], "inside the 200 x 200 frame"),
        ("cameras.0.crop", [1, 0, 200, 200], "inside the 200 x 200 frame"),
        ("cameras.0.crop", [0, 1, 200, 200], "inside the 200 x 200 frame"),
        ("cameras.0.crop", [-1, 0, 10, 10], "inside"),
        ("cameras.0.crop", [0, 0, 0, 10], "inside"),
        ("cameras.0.crop", [0, 0, 10], "length 4"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused(path: str, value: Any, message: str) -> None:
    """When it is read from a file; the message says what is wrong."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(edited(calvin(), path, value), Specification)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("action.dimensions.1.scale", -0.02),
        ("action.dimensions.5", UNUSED),
        ("action.ensemble_decay", 0),
        ("cameras.0.crop", [0, 0, 200, 200]),
        ("cameras.0.crop", [199, 199, 1, 1]),
    ],
)
def test_a_value_at_the_edge_is_accepted(path: str, value: Any) -> None:
    """Mirrored axes, missing joints, plain means, crops that touch the border."""
    msgspec.convert(edited(calvin(), path, value), Specification)


def test_a_specification_made_in_python_is_checked_too() -> None:
    """By the same rules."""
    with pytest.raises(ValueError, match="scale must be"):
        Dimension(name="x", unit="m", scale=0.0)


def test_the_state_is_seven_or_eight_long() -> None:
    """One command, or two fingers."""
    sizes = [load_data_set(name).specification.state.size for name in ("calvin", "libero")]
    assert sizes == [7, 8]
