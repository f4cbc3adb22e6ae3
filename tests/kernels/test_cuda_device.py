"""CudaDevice through NVIDIA's cuda-bindings, up to a driver that stands in for libcuda."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dreamvla_edge.kernels.device import KernelError, make_device
from launchers import ran

TESTS = Path(__file__).parents[1]


def test_it_speaks_to_the_driver(libcuda: Path) -> None:
    """Kernels, copies, graphs, refusals, and memory that is given back."""
    found = ran([sys.executable, TESTS / "cuda_device_cases.py"], libcuda)
    assert len(found) == 11 and not any(found.values()), found


def test_the_benchmark_checks_its_kernels(libcuda: Path) -> None:
    """`benchmarks/gpu_kernels.py --check`, which compute-sanitizer is given on a GPU."""
    program = TESTS.parent / "benchmarks" / "gpu_kernels.py"
    done = subprocess.run(
        [sys.executable, program, "--check", "--cases", "2"],
        capture_output=True,
        text=True,
        env=os.environ | {"LD_LIBRARY_PATH": str(libcuda)},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout)
    assert found["architecture"] == "sm_87" and len(found["cases"]) == 4


def test_without_a_driver() -> None:
    """One error that says what is missing."""
    with pytest.raises(KernelError, match="no CUDA driver"):
        make_device("cuda-bindings")
