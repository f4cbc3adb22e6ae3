"""DPM-Solver++, second order, multistep."""

from __future__ import annotations

import math

import numpy as np

from dreamvla_edge.runtime.manifest import SamplerSpec

from .ddim import begin
from .sampled import FloatArray, Predict, Sampled


def dpm_solver(
    noise: FloatArray, predict: Predict, spec: SamplerSpec, before: Sampled | None = None
) -> Sampled:
    """DPM-Solver++(2M) (arXiv 2211.01095, algorithm 2), with data prediction.

    The first step is of first order, and the last one, to ᾱ = 1, gives the data prediction there.
    """
    first, x = begin(noise, spec, before)
    signal = [level**0.5 for level in spec.alpha_bar]
    sigma = [(1 - level) ** 0.5 for level in spec.alpha_bar]
    log_snr = [math.log(a / s) for a, s in zip(signal, sigma, strict=True)]
    starts: list[FloatArray] = []
    for index in range(first, len(spec.timesteps)):
        epsilon = predict(x[None], np.array([spec.timesteps[index]], np.int32))[0]
        start = (x - np.float32(sigma[index]) * epsilon) / np.float32(signal[index])
        starts.append(start)
        if index + 1 == len(spec.timesteps):
            break
        step = log_snr[index + 1] - log_snr[index]
        data = start
        if len(starts) > 1:
            ratio = (log_snr[index] - log_snr[index - 1]) / step
            data = start + (start - starts[-2]) * np.float32(1 / (2 * ratio))
        kept = np.float32(sigma[index + 1] / sigma[index])
        x = kept * x - np.float32(signal[index + 1] * math.expm1(-step)) * data
    return Sampled(starts[-1], noise, np.stack(starts), len(starts))
