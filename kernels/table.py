"""Samplers as tables of numbers, which is how the kernel takes them.

At point j of a sampler's grid the noisy actions are x_j = c_j0 · noise + Σ_{i<j} c_j(i+1) · D_i,
where D_i are the predictions of the actions at earlier points: DDIM, DPM-Solver++(2M) and parallel
DDIM differ in the numbers c and in which points are evaluated together. Parallel DDIM also moves
each D_i on to the state that stands at its point by then.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


STEEPEST, STILL = 1.0, 1e-4
"""Of secants: largest slope of D over x; square of a move of x too small to tell one."""


class Evaluation(NamedTuple):
    """Points from `first` to before `end`, together.

    spread: the first one's D is given to all points behind it; secant: every point has been
    evaluated before in this launch, so that D moves on along the secant through both times.
    """

    first: int
    end: int
    spread: bool = False
    secant: bool = False


@dataclass(frozen=True, eq=False)
class SamplerTable:
    """signal, sigma (n): √ᾱ and √(1 - ᾱ) at each point; coefficients (n, n + 1): c.

    evaluations: in their order; guidance: of the condition.
    """

    signal: Array
    sigma: Array
    coefficients: Array
    evaluations: tuple[Evaluation, ...]
    guidance: float

    @property
    def branches(self) -> int:
        """2, or 1 if guidance 1 leaves the branch without condition out."""
        return 1 if self.guidance == 1 else 2

    @property
    def largest(self) -> int:
        """Points of the largest evaluation."""
        return max(now.end - now.first for now in self.evaluations)


def ddim_table(alpha_bar: Sequence[float], guidance: float) -> SamplerTable:
    """DDIM (arXiv 2010.02502, equation 12 with σ = 0), whose steps are x' = (σ'/σ)·x + r·D."""
    signal, sigma = _levels(alpha_bar)
    rows = [_unit(len(signal), 0)]
    for i in range(len(signal) - 1):
        row = rows[-1] * (sigma[i + 1] / sigma[i])
        row[i + 1] += signal[i + 1] - sigma[i + 1] * signal[i] / sigma[i]
        rows.append(row)
    return SamplerTable(signal, sigma, np.stack(rows), _one_by_one(len(signal)), guidance)


def dpm_solver_table(alpha_bar: Sequence[float], guidance: float) -> SamplerTable:
    """DPM-Solver++(2M) (arXiv 2211.01095, algorithm 2)."""
    signal, sigma = _levels(alpha_bar)
    log_snr = np.log(signal / sigma)
    rows = [_unit(len(signal), 0)]
    for i in range(len(signal) - 1):
        step = log_snr[i + 1] - log_snr[i]
        factor = -signal[i + 1] * math.expm1(-step)
        half_ratio = 0.0 if i == 0 else step / (2 * (log_snr[i] - log_snr[i - 1]))
        row = rows[-1] * (sigma[i + 1] / sigma[i])
        row[i + 1] += factor * (1 + half_ratio)
        if i > 0:
            row[i] -= factor * half_ratio
        rows.append(row)
    return SamplerTable(signal, sigma, np.stack(rows), _one_by_one(len(signal)), guidance)


def parallel_ddim_table(
    alpha_bar: Sequence[float], guidance: float, sweeps: int, warm: bool = False
) -> SamplerTable:
    """Sweeps of DDIM with secants (`runtime/samplers/parallel_ddim.py`).

    Cold, the first point is evaluated alone and its D copied to all; warm, the D of the launch
    before are where it begins. Every sweep makes one more point exact, which is then left out.
    """
    table = ddim_table(alpha_bar, guidance)
    count, exact = len(alpha_bar), 0 if warm else 1
    start = () if warm else (Evaluation(0, 1, spread=True),)
    rest = tuple(
        Evaluation(exact + i, count, secant=i > 0) for i in range(min(sweeps, count - exact))
    )
    return SamplerTable(table.signal, table.sigma, table.coefficients, start + rest, guidance)


def _levels(alpha_bar: Sequence[float]) -> tuple[Array, Array]:
    level = np.asarray(alpha_bar, float)
    return np.sqrt(level), np.sqrt(1 - level)


def _unit(count: int, at: int) -> Array:
    row = np.zeros(count + 1)
    row[at] = 1
    return row


def _one_by_one(count: int) -> tuple[Evaluation, ...]:
    return tuple(Evaluation(i, i + 1) for i in range(count))
