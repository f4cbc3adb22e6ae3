"""Samplers by their names, on the schedule that the network was trained with."""

from __future__ import annotations

import math
import re

import numpy as np
import numpy.typing as npt

from dreamvla_edge.runtime.errors import BundleError
from dreamvla_edge.runtime.manifest import Manifest, SamplerSpec

TRAINING_STEPS = 100
FIRST, LAST = 90, 0
"""Where all grids begin and end. At t = 99 an error of the noise prediction is amplified 2029 times
in the actions, at t = 90 seven times."""
_STUDENTS = {1: (90,), 2: (90, 45)}
_NAME = re.compile(r"(ddim|dpm|parallel)-(\d+)(?:-warm-(\d+))?")
NAMES = "ddim-N, dpm-N, parallel-SWEEPS, all three also with -warm-T, and student-1 or student-2"


def alpha_bar(steps: int = TRAINING_STEPS) -> npt.NDArray[np.float64]:
    """Cumulative signal level ᾱ (steps,) at t = 0 …

    Squared cosine (arXiv 2102.09672, equation 17), β capped at 0.999.
    """
    at = np.arange(steps + 1) / steps
    level = np.cos((at + 0.008) / 1.008 * math.pi / 2) ** 2
    found: npt.NDArray[np.float64] = np.cumprod(1 - np.minimum(1 - level[1:] / level[:-1], 0.999))
    return found


def named(name: str, guidance: float) -> SamplerSpec:
    """A sampler by its name (NAMES).

    `ddim-N`: N times at equal distances, 10 as released; `dpm-N`: N times at equal distances of
    log(signal/noise); `parallel-SWEEPS`: the released ten times at once; `student-N`: for a
    denoiser that was taught so (`dreamvla train --student N`), without guidance. `-warm-T`: a
    control step that follows another begins at time T of the grid from its actions, or with T
    sweeps from its predictions. Raises ValueError for a name that means nothing.
    """
    if name in (f"student-{count}" for count in _STUDENTS):
        return _spec("ddim", _STUDENTS[int(name[-1])], 1.0)
    found = _NAME.fullmatch(name)
    if not found:
        raise ValueError(f"{name} is no sampler; there are {NAMES}")
    kind, count = found[1], int(found[2])
    warm = None if found[3] is None else int(found[3])
    if kind == "parallel":
        return _spec("parallel_ddim", uniform(10), guidance, sweeps=count, warm_sweeps=warm)
    if not 1 <= count <= FIRST - LAST + 1:
        raise ValueError(f"{name} asks for {count} of the {FIRST - LAST + 1} times there are")
    if kind == "ddim":
        return _spec("ddim", uniform(count), guidance, warm_time=warm)
    return _spec("dpm_solver", uniform_log_snr(count), guidance, warm_time=warm)


def replacement(manifest: Manifest, name: str | None) -> SamplerSpec | None:
    """What a bundle shall sample with instead of its own way, None for its own.

    Raises ValueError as `named` does, and BundleError if the bundle samples nothing.
    """
    if name is None:
        return None
    if manifest.sampler is None:
        raise BundleError(
            f"{manifest.name} has an MLP head, which samples nothing",
            "a bundle with the diffusion head",
            f"leave the sampler {name} out",
        )
    return named(name, manifest.sampler.guidance)


def uniform(count: int) -> tuple[int, ...]:
    """So many times from FIRST down to LAST; one alone is FIRST."""
    return tuple(int(t) for t in np.round(np.linspace(FIRST, LAST, count)))


def uniform_log_snr(count: int) -> tuple[int, ...]:
    """As `uniform`, but in log(signal/noise); a time that would come twice is moved on by one."""
    level = alpha_bar()
    log_snr = np.log(level / (1 - level)) / 2
    wanted = np.linspace(log_snr[FIRST], log_snr[LAST], count)
    times = [int(np.abs(log_snr - value).argmin()) for value in wanted]
    for index in range(count - 2, -1, -1):  # from the end, where they lie close
        times[index] = max(times[index], times[index + 1] + 1)
    times[0] = FIRST
    for index in range(1, count):
        times[index] = min(times[index], times[index - 1] - 1)
    return tuple(times)


def _spec(kind: str, times: tuple[int, ...], guidance: float, **rest: int | None) -> SamplerSpec:
    levels = alpha_bar()
    return SamplerSpec(
        kind=kind,  # type: ignore[arg-type]
        timesteps=times,
        alpha_bar=tuple(float(levels[t]) for t in times),
        guidance=guidance,
        **rest,  # type: ignore[arg-type]
    )
