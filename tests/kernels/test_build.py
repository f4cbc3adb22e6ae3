"""Every kernel compiled for every architecture, and what its machine code holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamvla_edge.kernels import build as building
from dreamvla_edge.kernels.build import ARCHITECTURES, NAMES, build
from dreamvla_edge.kernels.device import KernelError
from dreamvla_edge.kernels.machine_code import count

WITH_TENSOR_CORES = ("masked_attention.cu", "denoise.cu")
STATIC_SHARED = 48 * 1024
"""Bytes of shared memory that a kernel has without asking for more (CUDA guide, table 32)."""


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("source", NAMES)
def test_machine_code_without_spills(source: str, architecture: str) -> None:
    image = build(source, architecture)
    assert image.resources
    for name, used in image.resources.items():
        assert used.spilled == used.stack == 0, name
        assert used.shared <= STATIC_SHARED
    for operation in ("STL", "LDL"):
        assert sum(count(image.code, operation).values()) == 0
    products = count(image.code, "HMMA")
    assert set(products) == set(image.resources)
    assert all((number > 0) == (source in WITH_TENSOR_CORES) for number in products.values())


def test_the_sampler_is_one_kernel_for_each_kind_of_weights() -> None:
    assert set(build("denoise.cu", "sm_87").resources) == {"denoise_half", "denoise_int8"}


@pytest.mark.parametrize("source", NAMES)
def test_ptx(source: str) -> None:
    image = build(source, "compute_87")
    assert b".target sm_87" in image.code
    assert (b"mma.sync.aligned.m16n8k16" in image.code) == (source in WITH_TENSOR_CORES)


def test_an_image_is_built_once_and_again_when_its_source_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    calls = []

    def compiler(source: str, architecture: str) -> tuple[bytes, str]:
        calls.append((source, architecture))
        return b"code", ""

    monkeypatch.setitem(building.COMPILERS, "nvrtc", compiler)  # type: ignore[arg-type]
    for _ in range(2):
        assert build("preprocess.cu", "sm_87", "nvrtc").code == b"code"
    build("preprocess.cu", "sm_90", "nvrtc")
    changed = tmp_path / "cuda"
    changed.mkdir()
    for file in building.SOURCES.iterdir():
        (changed / file.name).write_text(file.read_text() + "\n")
    monkeypatch.setattr(building, "SOURCES", changed)
    build("preprocess.cu", "sm_87", "nvrtc")
    assert calls == [("preprocess.cu", a) for a in ("sm_87", "sm_90", "sm_87")]


def test_what_a_compiler_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for file in building.SOURCES.iterdir():
        (tmp_path / file.name).write_text(file.read_text())
    (tmp_path / "preprocess.cu").write_text("__global__ void wrong() { nothing(); }")
    monkeypatch.setattr(building, "SOURCES", tmp_path)
    with pytest.raises(KernelError, match=r"refuses preprocess.cu for sm_87(.|\n)*nothing"):
        build("preprocess.cu", "sm_87", "nvrtc")
    assert not list((tmp_path / "cache").rglob("*.image"))


@pytest.mark.parametrize("architecture", ["sm_72", "87", "orin"])
def test_an_architecture_that_is_none(architecture: str) -> None:
    with pytest.raises(KernelError, match=architecture):
        build("preprocess.cu", architecture, "nvrtc")
