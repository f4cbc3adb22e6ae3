"""A driver for tests that launch through libcuda."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dreamvla_edge.kernels.build import SOURCES
from dreamvla_edge.kernels.emulation import emulation


@pytest.fixture(scope="session")
def libcuda(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a libcuda.so.1 that launches kernels in emulation."""
    folder = tmp_path_factory.mktemp("libcuda")
    flags = ("-std=c++17", "-O2", "-w", "-fPIC", "-shared", "-fno-strict-aliasing")
    includes = (f"-I{SOURCES}", f"-I{Path(emulation.__file__).parent}")
    command = ["g++", *flags, *includes, "-Wl,-soname,libcuda.so.1"]
    source = Path(__file__).parent / "driver" / "driver.cpp"
    subprocess.run([*command, str(source), "-o", str(folder / "libcuda.so.1")], check=True)
    return folder
