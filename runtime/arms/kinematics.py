"""Forward and inverse kinematics of a serial chain of revolute joints, in NumPy.

Inverse kinematics is damped least squares with the damping of Levenberg and Marquardt (S. R.
Buss, "Introduction to inverse kinematics with Jacobian transpose, pseudoinverse and damped least
squares methods", 2004, section 6). An arm with fewer than six joints cannot follow every pose:
position comes first, the orientation is followed as far as it costs almost no position, and both
remaining errors are reported. Nothing here does I/O or reads a clock.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dreamvla_edge.runtime.arms.description import ArmDescription
from dreamvla_edge.runtime.rotation import (
    Array,
    axis_angle_from_matrix,
    matrix_from_euler,
    skew,
)

# Damping [m² or weighted rad²] at the start, and its factors after a good and a bad step
# (K. Madsen, H. B. Nielsen, O. Tingleff, "Methods for non-linear least squares", 2004, 3.2).
_DAMPING, _GOOD, _BAD = 1e-4, 0.2, 4.0
_DAMPING_MIN, _DAMPING_MAX = 1e-10, 1e2
# What straying from the start by one radian may cost in position [m]: against leaps of the elbow.
_STAY = 0.002
# A descent ends when a step turns no joint by more than this [rad] (0.1 µm at 0.4 m reach).
_STEP = 2.5e-7
# So too when one comes no nearer than this [m]: towards what is out of reach it would creep for
# long, while the arm waits, to come 0.1 mm nearer.
_GAIN = 1e-6
# 100 iterations take about 5 ms in NumPy; a control step needs 3 to 10.
_ITERATIONS = 100
# Of x, y, z those after and before them: a × b is a[next] b[last] - a[last] b[next].
_NEXT, _LAST = [1, 2, 0], [2, 0, 1]


@dataclass(frozen=True, eq=False)
class Pose:
    """Position (3,) [m] and rotation matrix (3, 3) of the tool in the arm's base frame."""

    position: Array
    rotation: Array


@dataclass(frozen=True, eq=False)
class Chain:
    """n revolute joints in order, then the tool point.

    origins (n, 3) [m], rotations (n, 3, 3): each joint's frame in the frame before it;
    axes (n, 3): unit vectors in the joint's frame; lower, upper (n,) [rad]; tool: in the frame of
    the last joint; orientation_weight [m/rad]: how much position error is accepted for one
    radian less of orientation error.
    """

    names: tuple[str, ...]
    origins: Array
    rotations: Array
    axes: Array
    lower: Array
    upper: Array
    tool: Pose
    orientation_weight: float

    @cached_property
    def turning(self) -> tuple[Array, Array, Array]:
        """R, S, V, each (n, 4, 4): see `frames`."""
        cross = skew(self.axes)
        still = np.stack([_frame(*one) for one in zip(self.origins, self.rotations, strict=True)])
        sine, versine = np.zeros_like(still), np.zeros_like(still)
        sine[:, :3, :3] = self.rotations @ cross
        versine[:, :3, :3] = self.rotations @ cross @ cross
        return still, sine, versine

    @cached_property
    def tool_frame(self) -> Array:
        """The tool in the frame of the last joint, (4, 4)."""
        return _frame(self.tool.position, self.tool.rotation)

    def frames(self, joints: Array) -> Array:
        """Every joint's frame in the one before it, at the angles q (n,) [rad]: (n, 4, 4).

        R + sin q S + (1 - cos q) V, by Rodrigues' formula: homogeneous matrices [m].
        """
        angles = np.asarray(joints, float)[:, None, None]
        still, sine, versine = self.turning
        frames: Array = still + np.sin(angles) * sine + (1 - np.cos(angles)) * versine
        return frames


def _frame(position: Array, rotation: Array) -> Array:
    """Homogeneous matrix (4, 4)."""
    frame = np.eye(4)
    frame[:3, :3], frame[:3, 3] = rotation, position
    return frame


@dataclass(frozen=True, eq=False)
class Solution:
    """Joint angles (n,) [rad] within the limits and what remains: [m] and [rad]."""

    joints: Array
    position_error_m: float
    orientation_error_rad: float


def chain_of(description: ArmDescription) -> Chain:
    """The geometry of an arm as arrays."""
    joints, tool = description.joints, description.tool
    return Chain(
        names=tuple(joint.name for joint in joints),
        origins=np.array([joint.origin_m for joint in joints], float),
        rotations=np.array([matrix_from_euler(joint.origin_rpy_rad) for joint in joints]),
        axes=np.array([joint.axis for joint in joints], float),
        lower=np.array([joint.lower_rad for joint in joints], float),
        upper=np.array([joint.upper_rad for joint in joints], float),
        tool=Pose(np.array(tool.origin_m, float), matrix_from_euler(tool.origin_rpy_rad)),
        orientation_weight=tool.orientation_weight_m,
    )


def forward(chain: Chain, joints: Array) -> Pose:
    """Pose of the tool at the joint angles (n,) [rad]."""
    return _solve_forward(chain, joints)[0]


def tool_position(chain: Chain) -> Callable[[Array], Array]:
    """`forward` for the position alone, joints (n,) [rad] → (3,) [m]: faster."""

    def position(joints: Array) -> Array:
        point = chain.tool_frame[:, 3]
        for frame in chain.frames(joints)[::-1]:
            point = frame @ point
        return point[:3]

    return position


def jacobian(chain: Chain, joints: Array) -> Array:
    """Motion of the tool per joint rate: (6, n), rows x y z [m/rad], then rotation [rad/rad]."""
    return _solve_forward(chain, joints)[1]


def inverse(chain: Chain, target: Pose, start: Array, iterations: int = _ITERATIONS) -> Solution:
    """Joint angles that bring the tool to `target`, searched from the angles `start` (n,) [rad].

    Two descents: the first follows position and, weighted, orientation without straying from
    `start`; the second removes the position error that the orientation cost. A small target step
    so gives a small joint step; a far target can end in a local minimum, or on the way there after
    so many `iterations` of each descent; the reported errors show both. Raises ValueError if target
    or start is not finite.
    """
    if not all(np.isfinite(part).all() for part in (target.position, target.rotation, start)):
        raise ValueError("inverse kinematics needs finite numbers")
    joints = np.clip(np.asarray(start, float), chain.lower, chain.upper)
    joints = _descend(chain, target, joints, chain.orientation_weight, _STAY, iterations)
    joints = _descend(chain, target, joints, 0.0, 0.0, iterations)
    error, _ = _error(chain, target, joints)
    return Solution(joints, float(np.linalg.norm(error[:3])), float(np.linalg.norm(error[3:])))


def _descend(
    chain: Chain, target: Pose, start: Array, turn: float, stay: float, iterations: int
) -> Array:
    """Minimises |position error|² + |turn · orientation error|² + |stay · (joints − start)|²."""
    weights = np.repeat([1.0, turn], 3)

    def at(joints: Array) -> tuple[float, Array, Array]:
        """Cost, weighted error (6,) and weighted Jacobian (6, n)."""
        error, slope = _error(chain, target, joints)
        error = weights * error
        return _square(error) + _square(stay * (joints - start)), error, weights[:, None] * slope

    joints = start
    cost, error, slope = at(joints)
    damping = _DAMPING
    for _ in range(iterations):
        downhill = slope.T @ error - stay**2 * (joints - start)  # (n,)
        # A joint at its limit that is pushed further out takes no part in this step.
        stuck = np.where(downhill > 0, joints >= chain.upper, joints <= chain.lower)
        free = slope[:, ~stuck]
        step = np.zeros(len(joints))
        normal = free.T @ free + (stay**2 + damping) * np.eye(free.shape[1])
        step[~stuck] = np.linalg.solve(normal, downhill[~stuck])
        moved = np.clip(joints + step, chain.lower, chain.upper)
        if np.max(np.abs(moved - joints)) < _STEP:
            break
        if (there := at(moved))[0] < cost:
            gain = cost - there[0]
            joints, (cost, error, slope) = moved, there
            if gain < 2 * _GAIN * math.sqrt(cost):  # of the square of a distance
                break
            damping = max(damping * _GOOD, _DAMPING_MIN)
        elif damping < _DAMPING_MAX:
            damping *= _BAD
        else:
            break
    return joints


def _square(vector: Array) -> float:
    return float(vector @ vector)


def _error(chain: Chain, target: Pose, joints: Array) -> tuple[Array, Array]:
    """What is missing to the target (6,) [m, rad] in the base frame, and the Jacobian (6, n)."""
    pose, slope = _solve_forward(chain, joints)
    turn = axis_angle_from_matrix(target.rotation @ pose.rotation.T)
    return np.concatenate([target.position - pose.position, turn]), slope


def _solve_forward(chain: Chain, joints: Array) -> tuple[Pose, Array]:
    """Tool pose and Jacobian (6, n): the columns are axis × lever and axis."""
    frames = chain.frames(joints)
    for before, frame in zip(frames, frames[1:], strict=False):
        np.matmul(before, frame, out=frame)  # in place: now in the base frame
    tool = frames[-1] @ chain.tool_frame
    axes = (frames[:, :3, :3] @ chain.axes[:, :, None])[:, :, 0]
    levers = tool[:3, 3] - frames[:, :3, 3]
    # np.cross takes twice as long for so few.
    moments = axes[:, _NEXT] * levers[:, _LAST] - axes[:, _LAST] * levers[:, _NEXT]
    return Pose(tool[:3, 3], tool[:3, :3]), np.concatenate([moments, axes], 1).T
