"""LIBERO's conventions, on values that were worked out by hand.

Its packages are no part of a test run (340 MB): `tools/libero.sh` plays real trials.
"""

from __future__ import annotations

import numpy as np
import pytest

from dreamvla_edge.export.data_set import load_data_set
from dreamvla_edge.runtime.chunk import action_use
from dreamvla_edge.runtime.preprocess import Preprocessing, square
from dreamvla_edge.sim.evaluation.libero import RATE_HZ, SETTLES, STEPS, state_of

SPECIFICATION = load_data_set("libero").specification
HALF = np.sqrt(0.5)


def seen(quaternion: list[float]) -> dict[str, np.ndarray]:
    """An observation of LIBERO with the gripper turned like this (x, y, z, w)."""
    return {
        "robot0_eef_pos": np.array([0.1, -0.2, 1.1]),
        "robot0_eef_quat": np.array(quaternion),
        "robot0_gripper_qpos": np.array([0.039, -0.038]),
    }


@pytest.mark.parametrize(
    ("quaternion", "euler"),
    [
        ([0, 0, 0, 1], [0, 0, 0]),
        ([HALF, 0, 0, HALF], [np.pi / 2, 0, 0]),
        ([0, 0, HALF, HALF], [0, 0, np.pi / 2]),
        ([0, 0, -HALF, -HALF], [0, 0, np.pi / 2]),  # the same rotation
        # roll 0.3, pitch 0.2, yaw 0.1 about fixed axes: q = q_yaw q_pitch q_roll
        ([0.14357218, 0.10602051, 0.03427080, 0.98334744], [0.3, 0.2, 0.1]),
    ],
)
def test_the_state(quaternion: list[float], euler: list[float]) -> None:
    """Position, roll, pitch and yaw about fixed axes, both fingers."""
    state = state_of(seen(quaternion), SPECIFICATION.state, -1.0)
    assert state.dtype == np.float32
    np.testing.assert_allclose(state, [0.1, -0.2, 1.1, *euler, 0.039, -0.038], atol=1e-6)


def test_a_network_that_was_told_the_command() -> None:
    """Seven values instead of eight."""
    state = state_of(seen([0, 0, 0, 1]), load_data_set("calvin").specification.state, -1.0)
    np.testing.assert_allclose(state, [0.1, -0.2, 1.1, 0, 0, 0, -1], atol=1e-6)


def test_gripper_and_ensemble() -> None:
    """Above a half closes (+1 in LIBERO), else it opens (-1); the oldest prediction weighs most."""
    use = action_use(SPECIFICATION.action)
    use.reset()
    chunk = np.full((3, 7), 0.05, np.float32)  # zeros would count as no prediction, as released
    chunk[:, 0], chunk[:, 6] = [0.1, 0.2, 0.3], [0.6, 0.2, 0.9]
    first = use.use(chunk)
    assert first[0] == pytest.approx(0.1) and first[6] == 1.0
    second = use.use(np.full((3, 7), 0.5, np.float32))
    weight = np.exp(-0.01)
    assert second[0] == pytest.approx((0.2 + weight * 0.5) / (1 + weight), abs=1e-6)
    assert second[6] == -1.0


def test_flips_and_rates() -> None:
    """Agentview comes upside down from robosuite and was learnt so turned; the wrist's did not."""
    primary, wrist = SPECIFICATION.cameras
    frame = np.zeros((128, 128, 3), np.uint8)
    frame[:8] = 255
    preprocessing = Preprocessing(size=224)
    assert square(frame, primary, preprocessing)[-4:].mean() > 250
    assert square(frame, primary, preprocessing)[:200].mean() < 1
    assert square(frame, wrist, preprocessing)[:4].mean() > 250
    assert (RATE_HZ, STEPS, SETTLES) == (20.0, 600, 5) == (SPECIFICATION.action.rate_hz, 600, 5)
