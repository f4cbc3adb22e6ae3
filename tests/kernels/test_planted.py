"""Bugs planted in the kernels' source compile, run, and are caught by the comparison."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from dreamvla_edge.kernels.device import Device, KernelError
from dreamvla_edge.kernels.emulation import emulation
from dreamvla_edge.kernels.tolerance import FACTORS
from kernel_cases import KERNELS

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")
BUGS = {
    "mask off by one": ("masked_attention", "s <= last", "s < last"),
    "swapped fragment": (
        "masked_attention",
        "a.x, b.x, a.y, b.y, key.x, key.y",
        "a.x, a.y, b.x, b.y, key.x, key.y",
    ),
    "old peak not scaled": ("masked_attention", "sum[j][i] *= kept[i / 2]", "sum[j][i] *= 1"),
    "dropped barrier of a block": (
        "denoise_half",
        "      __syncthreads();  // two sides",
        "      // two sides",
    ),
    "dropped barrier of the grid": (
        "denoise_half",
        "    meet([] {});\n    attend();",
        "    __syncthreads();\n    attend();",
    ),
    "parts of K left out": ("denoise_half", "part < call.split; ++part", "part < 1; ++part"),
    "secant left out": ("denoise_half", "now.secant ? fminf(", "false ? fminf("),
    "byte without sign": (
        "denoise_int8",
        "halves_of_bytes(four >> 16)",
        "halves_of_bytes(four >> 8)",
    ),
    "rounding down": ("preprocess", "1 << (FRACTION_BITS - 1)", "0"),
}


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_caught(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel, right, wrong = BUGS[name]
    shutil.copytree(emulation.SOURCES, tmp_path / "cuda")
    files = [path for path in (tmp_path / "cuda").iterdir() if right in path.read_text()]
    assert len(files) == 1
    files[0].write_text(files[0].read_text().replace(right, wrong))
    monkeypatch.setattr(emulation, "SOURCES", tmp_path / "cuda")
    device = emulation.Emulation()
    assert any(_caught(device, kernel, seed) for seed in range(100))


def _caught(device: Device, kernel: str, seed: int) -> bool:
    try:
        found, halves = KERNELS[kernel](device, np.random.default_rng(seed))
    except KernelError:  # nobody can go on
        return True
    return not found <= FACTORS[kernel] * halves
