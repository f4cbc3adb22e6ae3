"""DDIM with all its times at once."""

from __future__ import annotations

import numpy as np

from dreamvla_edge.runtime.manifest import SamplerSpec

from .sampled import FloatArray, Predict, Sampled


def parallel_ddim(
    noise: FloatArray, predict: Predict, spec: SamplerSpec, before: Sampled | None = None
) -> Sampled:
    """Picard iteration of DDIM on its data predictions (ParaDiGMS, arXiv 2305.16317, section 3).

    With ρ = √ᾱ / √(1 - ᾱ), DDIM's state at time j is √(1 - ᾱ_j) · (x_0 / √(1 - ᾱ_0) + Σ_{i<j}
    (ρ_{i+1} - ρ_i) · D_i), where D_i is the data prediction at time i: one sweep makes all states
    from the D of the sweep before and predicts all D anew, in one batch. A state depends on
    earlier times alone, so that each sweep makes one more time exact, which is then left out; as
    many sweeps as times are DDIM itself.

    Cold, the first D is copied to all times. Warm, it begins with those of `before`, if they came
    from the same noise.
    """
    times = np.array(spec.timesteps, np.int32)
    level = np.array(spec.alpha_bar)
    signal, sigma = (np.sqrt(part)[:, None, None] for part in (level, 1 - level))
    ratio = (signal / sigma)[:, 0, 0]
    weights = np.tril(np.broadcast_to(np.diff(ratio, append=0.0), (len(times),) * 2), -1)

    def data(x: FloatArray, at: slice) -> FloatArray:
        found: FloatArray = (x - sigma[at] * predict(x, times[at])) / signal[at]
        return found.astype(np.float32)

    same = before is not None and np.array_equal(before.noise, noise)
    if before is not None and same and spec.warm_sweeps is not None:
        starts, exact, sweeps = before.starts.copy(), 0, spec.warm_sweeps
    else:
        starts = np.repeat(data(noise[None], slice(0, 1)), len(times), 0)
        exact, sweeps = 1, spec.sweeps
    streams, residual = exact, float("inf") if exact < len(times) else 0.0
    for _ in range(min(sweeps, len(times) - exact)):
        states = sigma * (noise / sigma[0] + np.einsum("ji,ipv->jpv", weights, starts))
        rest = slice(exact, None)
        new = data(states[rest].astype(np.float32), rest)
        residual = float(np.abs(new[-1] - starts[-1]).max())
        starts[rest] = new
        exact += 1
        streams += 1
    return Sampled(starts[-1], noise, starts, streams, residual)
