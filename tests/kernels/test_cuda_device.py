"""CudaDevice through NVIDIA's cuda-bindings, up to a driver that stands in for libcuda."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dreamvla_edge.kernels.build import SOURCES
from dreamvla_edge.kernels.device import KernelError, make_device
from dreamvla_edge.kernels.emulation import emulation

HERE = Path(__file__).parent
PROGRAM = HERE.parent / "cuda_device_cases.py"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a libcuda.so.1 that launches kernels in emulation."""
    folder = tmp_path_factory.mktemp("driver")
    flags = ("-std=c++17", "-O2", "-w", "-fPIC", "-shared", "-fno-strict-aliasing")
    includes = (f"-I{SOURCES}", f"-I{Path(emulation.__file__).parent}")
    command = ["g++", *flags, *includes, "-Wl,-soname,libcuda.so.1", str(HERE / "driver.cpp")]
    subprocess.run([*command, "-o", str(folder / "libcuda.so.1")], check=True)
    return folder


def ran(driver: Path, program: str = str(PROGRAM)) -> dict[str, str | None]:
    """What is wrong, by case; nothing where all is right."""
    done = subprocess.run(
        [sys.executable, program],
        capture_output=True,
        text=True,
        env=os.environ | {"LD_LIBRARY_PATH": str(driver), "PYTHONPATH": str(PROGRAM.parent)},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return {found["case"]: found["wrong"] for found in map(json.loads, done.stdout.splitlines())}


def test_it_speaks_to_the_driver(driver: Path) -> None:
    """Kernels, copies, graphs, refusals, and memory that is given back."""
    found = ran(driver)
    assert len(found) == 7 and not any(found.values()), found


def test_the_benchmark_checks_its_kernels(driver: Path) -> None:
    """`benchmarks/gpu_kernels.py --check`, which compute-sanitizer is given on a GPU."""
    program = HERE.parents[1] / "benchmarks" / "gpu_kernels.py"
    done = subprocess.run(
        [sys.executable, program, "--check", "--cases", "2"],
        capture_output=True,
        text=True,
        env=os.environ | {"LD_LIBRARY_PATH": str(driver)},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(done.stdout)
    assert found["architecture"] == "sm_87" and len(found["cases"]) == 4


def test_without_a_driver() -> None:
    """One error that says what is missing."""
    with pytest.raises(KernelError, match="no CUDA driver"):
        make_device("cuda-bindings")
