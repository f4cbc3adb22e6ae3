"""What the released code computed, as tests ask for it: the fixture `golden`.

Loads `tests/golden/` (its README names every array) and draws weights and observations from
`tests/golden/synth.py`. Needs NumPy only.
"""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from golden import synth

FOLDER = Path(__file__).parent / "golden"

SMALL = (
    "calvin_small",
    "libero_small",
    "all_dreams_small",
    "shared_query_small",
    "mlp_head_small",
    "goal_small",
    "only_obs_small",
)
FULL = ("calvin", "libero")


class RawStep(NamedTuple):
    """One step as `Policy.act` takes it: uint8 (H, W, 3) frames and the raw float32 state."""

    primary: np.ndarray
    wrist: np.ndarray
    state: np.ndarray
    instruction: str


class Golden:
    """The golden data; `case(name)["sequence_length"]` and the like are the released names."""

    small = SMALL
    full = FULL
    reset_step: int = synth.EPISODE_RESET
    """The episode step before which policy and instruction are reset."""

    @cached_property
    def cases(self) -> dict[str, dict[str, Any]]:
        """Configuration of every case, by name."""
        cases: dict[str, dict[str, Any]] = json.loads((FOLDER / "cases.json").read_text())
        return cases

    def case(self, name: str) -> dict[str, Any]:
        """Configuration of one case, under the released option names."""
        return self.cases[name]

    def shapes(self, name: str) -> dict[str, tuple[int, ...]]:
        """Every checkpoint key (without `module.`) with its shape."""
        keys = json.loads((FOLDER / "keys" / f"{name}.json").read_text())
        return {key: tuple(shape) for key, shape in keys.items()}

    def weight(self, key: str, shape: tuple[int, ...]) -> np.ndarray:
        """One checkpoint tensor, float32; not for `attention_mask`."""
        drawn: np.ndarray = np.asarray(synth.weight(key, shape), np.float32)
        return drawn

    def attention_mask(self, name: str) -> np.ndarray:
        """The stored additive mask of the whole window: 0 where the row reads, else -inf."""
        rows = self.outputs(name)["mask_reads"]
        reads = np.unpackbits(rows, axis=1)[:, : len(rows)]
        return np.where(reads == 1, np.float32(0), np.float32(-np.inf))

    def weights(self, name: str) -> dict[str, np.ndarray]:
        """The whole state dict of a case, float32, `attention_mask` included if it has one."""
        weights = {}
        for key, shape in self.shapes(name).items():
            if key == "attention_mask":
                weights[key] = self.attention_mask(name).reshape(shape)
            else:
                weights[key] = self.weight(key, shape)
        return weights

    def observations(self, name: str) -> dict[str, np.ndarray]:
        """Preprocessed inputs of one full window, and the sampler's start noise."""
        window: dict[str, np.ndarray] = synth.observations(self.case(name))
        return window

    def outputs(self, name: str) -> dict[str, np.ndarray]:
        """What the released code computed; `episode_calvin_small` and the like work too."""
        with np.load(FOLDER / "outputs" / f"{name}.npz") as arrays:
            return dict(arrays)

    def episode(self, data_set: str) -> list[RawStep]:
        """25 raw steps of `calvin` or `libero`; the policy is reset before step `reset_step`."""
        return [RAW_STEPS[data_set](step) for step in synth.episode(data_set)]

    def episode_noise(self, name: str, step: int) -> np.ndarray:
        """Sampler noise (S, 3, 7) of one episode step; the row of the slot that is read counts."""
        noise: np.ndarray = synth.episode_noise(self.case(name), step)
        return noise


def calvin_step(observation: dict[str, Any]) -> RawStep:
    """State: position [m], xyz Euler angles [rad] and the last gripper command."""
    robot = observation["robot_obs"]
    state = np.concatenate([robot[:6], robot[-1:]]).astype(np.float32)
    return RawStep(
        observation["rgb_static"], observation["rgb_gripper"], state, observation["instruction"]
    )


def libero_step(observation: dict[str, Any]) -> RawStep:
    """State: position [m], xyz Euler angles [rad] of the quaternion and two finger positions [m].

    The frames are as the simulator gives them: flipping the primary one is preprocessing.
    """
    euler = fixed_xyz_angles(observation["robot0_eef_quat"])
    fingers = observation["robot0_gripper_qpos"]
    state = np.concatenate([observation["robot0_eef_pos"], euler, fingers]).astype(np.float32)
    return RawStep(
        observation["agentview_image"],
        observation["robot0_eye_in_hand_image"],
        state,
        observation["instruction"],
    )


def fixed_xyz_angles(quaternion: np.ndarray) -> np.ndarray:
    """Angles (a, b, c) [rad] with R = Rz(c) Ry(b) Rx(a), of a unit quaternion (x, y, z, w)."""
    x, y, z, w = quaternion
    return np.array(
        [
            np.arctan2(2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
            np.arcsin(np.clip(2 * (w * y - x * z), -1, 1)),
            np.arctan2(2 * (x * y + w * z), 1 - 2 * (y * y + z * z)),
        ]
    )


RAW_STEPS = {"calvin": calvin_step, "libero": libero_step}
