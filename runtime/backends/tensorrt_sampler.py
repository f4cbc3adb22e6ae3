"""A policy's sampler as one launch of our kernel, beside TensorRT's engines."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from dreamvla_edge.kernels.denoise import DenoiseKernel, Resident
from dreamvla_edge.kernels.denoiser import DenoiserWeights, denoiser_weights
from dreamvla_edge.kernels.device import Device, KernelError
from dreamvla_edge.kernels.table import (
    SamplerTable,
    ddim_table,
    dpm_solver_table,
    parallel_ddim_table,
)
from dreamvla_edge.runtime.errors import BackendError
from dreamvla_edge.runtime.manifest import SamplerSpec
from dreamvla_edge.runtime.samplers import FloatArray, Sampled
from dreamvla_edge.runtime.samplers.ddim import begin

PRECISIONS = ("fp16", "w8")
"""Of a denoiser that the kernel computes no less exactly than its engine would."""
_LOG = logging.getLogger(__name__)


class KernelSampler:
    """Samplers of one denoiser. path: its weights as `dreamvla build` wrote them."""

    def __init__(self, device: Device, path: Path) -> None:
        with np.load(path) as file:
            self._arrays = {name: file[name] for name in file.files}
        self._device, self._heads = device, int(self._arrays.pop("heads").item())
        self._resident: Resident | None = None
        self._kernels: dict[tuple[SamplerSpec, int, bool], DenoiseKernel | None] = {}

    def sample(
        self, features: FloatArray, noise: FloatArray, spec: SamplerSpec, before: Sampled | None
    ) -> Sampled | None:
        """As `samplers.sample`; None if the kernel does not take this network or sampler."""
        if not np.isfinite(features).all():
            raise BackendError(
                "the backbone computed a feature that is not finite",
                "finite features",
                "run `dreamvla verify` on the bundle and check the state's scale",
            )
        first, x = (0, noise) if spec.kind == "parallel_ddim" else begin(noise, spec, before)
        warm = (
            spec.kind == "parallel_ddim"
            and spec.warm_sweeps is not None
            and before is not None
            and np.array_equal(before.noise, noise)
        )
        key = spec, first, warm
        if key not in self._kernels:
            self._kernels[key] = self._made(spec, first, warm)
        kernel = self._kernels[key]
        if kernel is None:
            return None
        actions, starts, change = kernel(features, x, before.starts if warm and before else None)
        count = len(kernel.table.evaluations)
        residual = 0.0
        if spec.kind == "parallel_ddim" and len(starts) > 1:
            swept = count - (not warm)
            residual = float(np.abs(change).max()) if swept else float("inf")
        return Sampled(actions, noise, starts, count, residual)

    def _made(self, spec: SamplerSpec, first: int, warm: bool) -> DenoiseKernel | None:
        table, weights = table_of(spec, first, warm), self._weights(spec.timesteps[first:])
        try:
            if self._resident is None:
                self._resident = Resident(self._device, weights)
            return DenoiseKernel(self._device, weights, table, resident=self._resident)
        except KernelError as error:
            _LOG.warning("the sampler runs in TensorRT's engine, step by step: %s", error)
            return None

    def _weights(self, times: tuple[int, ...]) -> DenoiserWeights:
        return denoiser_weights(self._arrays, self._heads, times)


def table_of(spec: SamplerSpec, first: int = 0, warm: bool = False) -> SamplerTable:
    """A sampler as the kernel takes it, from its time number `first` on, or from the last D."""
    levels, guidance = spec.alpha_bar[first:], spec.guidance
    if spec.kind == "parallel_ddim":
        sweeps = spec.warm_sweeps if warm and spec.warm_sweeps is not None else spec.sweeps
        return parallel_ddim_table(levels, guidance, sweeps or 0, warm)
    if spec.kind == "dpm_solver":
        return dpm_solver_table(levels, guidance)
    return ddim_table(levels, guidance)
