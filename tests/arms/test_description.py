"""Arm descriptions: the one that ships, and wrong ones."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest

from dreamvla_edge.runtime.arms import ARMS
from dreamvla_edge.runtime.arms.description import ArmDescription, load_description
from dreamvla_edge.runtime.errors import ArmError


@pytest.mark.parametrize("name", sorted(ARMS))
def test_every_arm_has_a_description(name: str) -> None:
    """Under its own name."""
    assert load_description(name).name == name


def test_a_missing_description_is_an_error_with_a_cure() -> None:
    """Not a traceback."""
    with pytest.raises(ArmError, match="so102.toml"):
        load_description("so102")


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
        ("gripper", "open_step", 1422, "not two steps"),
        ("gripper", "open_step", 4096, "not two steps"),
        ("tool", "origin_m", [0, 0], "length 3"),
    ],
)
def test_wrong_values_are_refused(where: str, field: str, value: object, message: str) -> None:
    """Each with its own reason."""
    raw: dict[str, Any] = msgspec.to_builtins(load_description("so101"))
    part = raw["joints"][0] if where == "joint" else raw[where]
    part[field] = value
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(raw, ArmDescription)


def test_an_arm_may_be_written_in_whole_numbers() -> None:
    """TOML tells 0 from 0.0; a person does not."""
    raw: dict[str, Any] = msgspec.to_builtins(load_description("so101"))
    raw["joints"][0]["origin_m"] = [0, 0, 0]
    assert msgspec.convert(raw, ArmDescription).joints[0].origin_m == (0, 0, 0)
