"""Rotations in three dimensions: Euler angles, axis-angle vectors and matrices.

A matrix R maps tool coordinates to world coordinates. Euler angles are (roll, pitch, yaw) about
the *fixed* axes x, y, z in this order, R = Rz(yaw) · Ry(pitch) · Rx(roll), as in URDF, PyBullet
and SciPy's lower-case "xyz".
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

# Below this cosine of the pitch roll and yaw are taken for turns about one axis: an error of the
# same size at most, while rounding would spoil both by 1e-16 / cosine.
_GIMBAL = 1e-8


def skew(vectors: ArrayLike) -> Array:
    """Cross-product matrices (..., 3, 3) of vectors (..., 3): the one of a, times b, is a × b."""
    x, y, z = np.moveaxis(np.asarray(vectors, float), -1, 0)
    o = np.zeros_like(x)
    return np.stack([o, -z, y, z, o, -x, -y, x, o], axis=-1).reshape(*x.shape, 3, 3)


def matrix_from_euler(euler: ArrayLike) -> Array:
    """Matrix (3, 3) of the fixed-axis angles (roll, pitch, yaw) [rad]."""
    (sr, sp, sy), (cr, cp, cy) = np.sin(euler), np.cos(euler)
    return np.array(
        [
            [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
            [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
            [-sp, cp * sr, cp * cr],
        ]
    )


def euler_from_matrix(matrix: Array) -> Array:
    """Fixed-axis angles (roll, pitch, yaw) [rad] of a matrix (3, 3); pitch is within ±π/2.

    Where the pitch is ±π/2 only a combination of roll and yaw is defined: yaw is set to 0.
    """
    cosine = np.hypot(matrix[0, 0], matrix[1, 0])
    pitch = np.arctan2(-matrix[2, 0], cosine)
    if cosine < _GIMBAL:
        return np.array([np.arctan2(-matrix[1, 2], matrix[1, 1]), pitch, 0.0])
    roll = np.arctan2(matrix[2, 1], matrix[2, 2])
    return np.array([roll, pitch, np.arctan2(matrix[1, 0], matrix[0, 0])])


def matrix_from_axis_angle(vector: ArrayLike) -> Array:
    """Matrix (3, 3) of the turn by |vector| [rad] about the vector (3,): Rodrigues' formula."""
    vector = np.asarray(vector, float)
    angle = float(np.linalg.norm(vector))
    cross = skew(vector)
    # np.sinc(x) = sin(πx)/(πx) has no 0/0 at angle 0; (1 − cos a)/a² = sinc²(a/2)/2.
    first = np.sinc(angle / np.pi)
    second = 0.5 * np.sinc(angle / (2 * np.pi)) ** 2
    return np.eye(3) + first * cross + second * cross @ cross


def axis_angle_from_matrix(matrix: Array) -> Array:
    """Axis times angle (3,) [rad], angle in [0, π], of a matrix (3, 3).

    Goes by the unit quaternion, built around its largest part, because sin(angle) vanishes at
    π (Shepperd, Journal of Guidance and Control 1(3), 1978).
    """
    trace = np.trace(matrix)
    twist = np.array(
        [matrix[2, 1] - matrix[1, 2], matrix[0, 2] - matrix[2, 0], matrix[1, 0] - matrix[0, 1]]
    )
    i = int(np.argmax(np.diag(matrix)))
    if trace >= matrix[i, i]:
        vector, scalar = twist, 1 + trace
    else:
        vector = matrix[i] + matrix[:, i]
        vector[i] += 1 - trace
        scalar = twist[i]
    if scalar < 0:
        vector, scalar = -vector, -scalar
    length = float(np.linalg.norm(vector))
    if length == 0.0:
        return np.zeros(3)
    angle = 2 * np.arctan2(length, scalar)
    return np.asarray(vector * (angle / length))
