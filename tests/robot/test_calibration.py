"""Calibration against a servo that is modelled here: actual position, stored offset, one turn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.runtime.arms.calibration import HOMING, calibration_of, calibrations
from dreamvla_edge.runtime.arms.description import calibrated, load_description
from dreamvla_edge.runtime.errors import ArmError

TURN = 4096
SO101 = load_description("so101")


def reported(protocol: str, actual: int, offset: int) -> int:
    """Feetech subtracts the offset, Dynamixel adds it."""
    return (actual - offset if protocol == "feetech" else actual + offset) % TURN


def way(*stops: int) -> list[int]:
    """Actual positions from stop to stop, as a hand moves a joint."""
    parts = [
        range(begin, end, 50 if begin < end else -50)
        for begin, end in zip(stops[:-1], stops[1:], strict=True)
    ]
    return [*(position for part in parts for position in part), stops[-1]]


@given(
    protocol=st.sampled_from(sorted(HOMING)),
    low=st.integers(0, TURN - 1),
    size=st.integers(300, 3900),
    stored=st.integers(-1023, 1023),
)
def test_the_ends_are_where_the_servo_will_report_them(
    protocol: str, low: int, size: int, stored: int
) -> None:
    """Whatever was stored before; refused only if no offset keeps the range off the seam."""
    high = low + size
    seen = [reported(protocol, actual, stored) for actual in way((low + high) // 2, low, high, low)]
    most = HOMING[protocol].most
    possible = [
        offset for offset in range(-most, most + 1) if reported(protocol, low, offset) + size < TURN
    ]
    if not possible:
        with pytest.raises(ValueError, match="range"):
            calibration_of(seen, stored, HOMING[protocol])
        return
    found = calibration_of(seen, stored, HOMING[protocol])
    assert found.homing_offset is not None and abs(found.homing_offset) <= most
    assert found.lower_step == reported(protocol, low, found.homing_offset)
    assert found.upper_step == reported(protocol, high, found.homing_offset)
    if protocol == "feetech":  # any middle can become step 2048
        assert abs((found.lower_step + found.upper_step) / 2 - TURN / 2) <= 1.5


@pytest.mark.parametrize("protocol", HOMING)
def test_a_joint_that_turns_freely_keeps_the_pose_it_was_put_in(protocol: str) -> None:
    """Its first position becomes the middle of the turn, and it has no ends."""
    actual = way(2500, 300, 300 + TURN, 2000)
    seen = [reported(protocol, position, 100) for position in actual]
    found = calibration_of(seen, 100, HOMING[protocol])
    assert (found.lower_step, found.upper_step) == (0, TURN - 1)
    assert found.homing_offset is not None
    assert reported(protocol, 2500, found.homing_offset) == TURN // 2


def moved(shares: list[float]) -> np.ndarray:
    """Positions (t, 6) of an SO-101 whose parts were moved through a share of their range."""
    sizes = [(joint.upper_rad - joint.lower_rad) / (2 * np.pi) * TURN for joint in SO101.joints]
    sizes.append(abs(SO101.gripper.open_step - SO101.gripper.closed_step))
    swing = np.concatenate([np.linspace(0, -1, 60), np.linspace(-1, 1, 120)])
    halves = np.array(sizes) / 2 * shares
    return np.rint(2048 + swing[:, None] * halves).astype(int)


def test_a_whole_arm() -> None:
    """An arm whose horns sit well needs no offset, and its description hardly changes."""
    found = calibrations(SO101, moved([1.0] * 6), dict.fromkeys(SO101.servos, 0))
    assert [abs(one.homing_offset or 0) for one in found.values()] == [0] * 6
    for before, after in zip(SO101.joints, calibrated(SO101, found).joints, strict=True):
        assert after.lower_rad == pytest.approx(before.lower_rad, abs=0.003)
        assert after.upper_rad == pytest.approx(before.upper_rad, abs=0.003)


def test_a_joint_that_was_not_moved_enough() -> None:
    """It is named, with how far it was moved; the others are not."""
    with pytest.raises(ArmError) as caught:
        calibrations(SO101, moved([1, 1, 0.5, 1, 1, 0.1]), dict.fromkeys(SO101.servos, 0))
    assert caught.value.found == "elbow_flex was moved 97° of 194°; gripper was moved 11° of 110°"


def test_a_range_across_the_seam_is_named() -> None:
    """A Dynamixel takes a quarter of a turn to either side, which may not be enough."""
    koch = load_description("koch")
    track = np.tile(moved([1.0] * 6)[:, :1], (1, len(koch.servos))) + 2048
    with pytest.raises(ArmError) as caught:
        calibrations(koch, track % TURN, dict.fromkeys(koch.servos, 0))
    assert "shoulder_pan crosses the seam of its servo's turn" in caught.value.found
