"""The plugin of TensorRT, driven as TensorRT drives one, its kernel in emulation."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dreamvla_edge.kernels import plugin
from dreamvla_edge.kernels.build import SOURCES, nvcc
from dreamvla_edge.kernels.device import KernelError
from dreamvla_edge.kernels.emulation import emulation
from dreamvla_edge.kernels.references.masked_attention import masked_attention
from dreamvla_edge.kernels.tolerance import within
from kernel_cases import attention_case

HERE = Path(__file__).parent
DOUBLE = HERE / "tensorrt_double"
HEADERS = sorted((HERE.parents[1] / "build" / "tensorrt-headers").glob("*/NvInferRuntime.h"))
"""NVIDIA's own (tools/tensorrt_headers.sh), of each version that is here."""
VERSIONS = [path.parent.name for path in HEADERS]
NAMES = ("q", "past_k", "past_v", "k", "v", "row_kind", "row_slot", "key_kind", "key_slot")
CASES, SLOTS = 20, 21


def harness(folder: Path, *includes: Path, sources: Path = SOURCES) -> ctypes.CDLL:
    """The plugin and its driver as a library, with the headers of these folders."""
    made = folder / "harness.so"
    flags = ("-std=c++17", "-O1", "-fPIC", "-shared", "-fno-strict-aliasing", "-fno-gnu-unique")
    places = (*includes, sources, Path(emulation.__file__).parent)
    command = ["g++", *flags, "-w", *(f"-I{place}" for place in places)]
    subprocess.run([*command, str(HERE / "plugin_harness.cpp"), "-o", str(made)], check=True)
    library = ctypes.CDLL(str(made))
    library.identity.restype = library.failure.restype = ctypes.c_char_p
    library.made.restype = library.loaded.restype = ctypes.c_void_p
    return library


class Plugin:
    """A plugin object; None where the creator refuses."""

    def __init__(self, library: ctypes.CDLL, pointer: int | None) -> None:
        self.library, self.pointer = library, ctypes.c_void_p(pointer)

    @classmethod
    def made(
        cls, library: ctypes.CDLL, scale: float, table: np.ndarray, slots: int
    ) -> Plugin | None:
        numbers = np.ascontiguousarray(table, np.int32)
        pointer = library.made(
            ctypes.c_float(scale), ctypes.c_void_p(numbers.ctypes.data), numbers.size, slots
        )
        return cls(library, pointer) if pointer else None

    def loaded(self) -> Plugin:
        """From what it serializes; this one is gone then."""
        pointer = self.library.loaded(self.pointer)
        self.library.destroyed(self.pointer)
        assert pointer is not None
        return Plugin(self.library, pointer)

    def run(self, case: dict[str, Any]) -> np.ndarray | int:
        """What comes out, or the number of the step that refused."""
        out = np.full(case["q"].shape, np.nan, np.float16)
        arrays = [np.ascontiguousarray(case[name]) for name in NAMES] + [out]
        lengths = np.zeros((10, 3), np.int64)
        for row, array in zip(lengths, arrays, strict=True):
            row[: array.ndim] = array.shape
        memory = (ctypes.c_void_p * 10)(*(array.ctypes.data for array in arrays))
        done = self.library.ran(self.pointer, ctypes.c_void_p(lengths.ctypes.data), memory)
        return done if done else out


def compared(library: ctypes.CDLL, seed: int) -> bool:
    """Whether one random case gives what the reference gives, after a way through an engine."""
    case = attention_case(np.random.default_rng(seed))
    own = Plugin.made(library, case["scale"], case["table"], SLOTS)
    assert own is not None
    found = own.loaded().run(case)
    wide = {n: a.astype(float) if n in NAMES[:5] else a for n, a in case.items()}
    wanted, halves = masked_attention(**wide), masked_attention(**case)
    return isinstance(found, np.ndarray) and within("masked_attention", found, wanted, halves)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ctypes.CDLL]:
    """With the double's headers."""
    yield harness(tmp_path_factory.mktemp("plugin"), DOUBLE)


def check(library: ctypes.CDLL) -> None:
    """Everything that TensorRT asks of a plugin."""
    name = f"{plugin.NAME} {plugin.VERSION} {plugin.NAMESPACE}"
    assert library.identity().decode() == f"{name} scale:float table:int slots:int"
    case = attention_case(np.random.default_rng(1))
    own = Plugin.made(library, case["scale"], case["table"], SLOTS)
    assert own is not None
    for position in range(10):
        wanted = "i" if 5 <= position < 9 else "h"
        taken = [t for t in "hfi" if library.supports(own.pointer, position, ord(t), 1)]
        assert taken == [wanted]
        assert not library.supports(own.pointer, position, ord(wanted), 0)
    assert library.types_and_shape(own.pointer) == 1
    assert all(compared(library, seed) for seed in range(CASES))
    assert library.device_allocations() == 0


def test_it_does_what_tensorrt_asks_of_it(library: ctypes.CDLL) -> None:
    """Serialized, loaded, attached to a context, launched on TensorRT's stream; nothing leaks."""
    check(library)


@pytest.mark.parametrize(
    ("scale", "table", "slots"),
    [
        (0.0, [0, 1, 0, 0], 10),
        (0.1, [0, 1, 0], 10),
        (0.1, [], 10),
        (0.1, [0, -1, 0, 0], 10),
        (0.1, [0, 4, 0, 0], 26),  # 5 kinds in 26 slots: 130 codes
        (0.1, [0, 1, 0, 0], 0),
    ],
)
def test_a_node_that_the_kernel_cannot_take(
    library: ctypes.CDLL, scale: float, table: list[int], slots: int
) -> None:
    assert Plugin.made(library, scale, np.array(table, np.int32), slots) is None


def test_shapes_that_do_not_agree(library: ctypes.CDLL) -> None:
    """Width at build (1), the rest when a shape is set (2)."""
    case = attention_case(np.random.default_rng(3))
    own = Plugin.made(library, case["scale"], case["table"], SLOTS)
    assert own is not None and isinstance(own.run(case), np.ndarray)
    narrow = {n: a[..., :-1] if n in NAMES[:5] else a for n, a in case.items()}
    assert own.run(narrow) == 1
    for name in NAMES:
        cut = case[name][:, :-1] if case[name].ndim == 3 else case[name][:-1]
        assert own.run({**case, name: cut}) == 2, name


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('fields[2] = {"slots", &settings.slots', 'fields[2] = {"slot", &settings.slots'),
        ("halves(PAST_V)", "halves(PAST_K)"),
    ],
)
def test_a_planted_bug_is_caught(tmp_path: Path, right: str, wrong: str) -> None:
    for file in SOURCES.iterdir():
        text = file.read_text()
        (tmp_path / file.name).write_text(text.replace(right, wrong, 1))
    assert (tmp_path / plugin.SOURCE).read_text() != (SOURCES / plugin.SOURCE).read_text()
    with pytest.raises(AssertionError):
        check(harness(tmp_path, DOUBLE, sources=tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_with_the_headers_of_nvidia(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library for Orin is made; and the harness compiled with them does the same."""
    headers = HERE.parents[1] / "build" / "tensorrt-headers" / version
    monkeypatch.setenv("CPATH", str(headers))
    library = plugin.compiled_plugin("sm_87")
    (tmp_path / "plugin.so").write_bytes(library)
    symbols = subprocess.run(
        ["nm", "-D", "--undefined-only", tmp_path / "plugin.so"], capture_output=True, text=True
    ).stdout
    assert "nvinfer" not in symbols.lower() and b"getCreators" in library
    beside = Path(os.path.realpath(nvcc() or "")).parents[1], Path("/usr/local/cuda")
    (cuda, *_) = [p / "include" for p in beside if (p / "include/cuda_runtime_api.h").exists()]
    check(harness(tmp_path, headers, cuda))


if not VERSIONS:  # the script says what to do; the double's tests run in any case
    del test_with_the_headers_of_nvidia


def test_the_key_follows_the_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file that the library is made of changes it, and only those."""
    before = plugin.plugin_key()
    for file in SOURCES.iterdir():
        (tmp_path / file.name).write_text(file.read_text())
    monkeypatch.setattr(plugin, "SOURCES", tmp_path)
    changing = set()
    for file in tmp_path.iterdir():
        text = file.read_text()
        file.write_text(text + "\n")
        if plugin.plugin_key() != before:
            changing.add(file.name)
        file.write_text(text)
    parts = {plugin.SOURCE}
    while True:  # what the source includes, and so on
        found = {
            line.split('"')[1]
            for part in parts
            for line in (tmp_path / part).read_text().splitlines()
            if line.startswith('#include "') and (tmp_path / line.split('"')[1]).exists()
        }
        if found <= parts:
            break
        parts |= found
    assert changing == parts


def test_without_the_headers_or_nvcc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One error that says how to get what is missing."""
    monkeypatch.setattr(plugin, "nvcc", lambda: None)
    with pytest.raises(KernelError, match="cuda-toolkit"):
        plugin.compiled_plugin("sm_87")
    fake = tmp_path / "nvcc"
    fake.write_text("#!/bin/sh\necho 'fatal error: NvInferRuntime.h: No such file' >&2\nexit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(plugin, "nvcc", lambda: str(fake))
    with pytest.raises(KernelError, match="CPATH"):
        plugin.compiled_plugin("sm_87")
