"""Floors by hand, and what must hold of all of them."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.demo import BUNDLE
from dreamvla_edge.runtime.bundle import Bundle, open_bundle
from dreamvla_edge.runtime.errors import BoardError, BundleError
from dreamvla_edge.runtime.manifest import Manifest
from dreamvla_edge.runtime.profiler.boards import boards
from dreamvla_edge.runtime.profiler.host import cache_bytes, measured_host
from dreamvla_edge.runtime.profiler.roofline import (
    ACTION,
    WHOLE,
    Roof,
    Runs,
    floors,
    floors_of,
    stages,
)
from dreamvla_edge.runtime.samplers import sample
from dreamvla_edge.runtime.samplers.named import named
from dreamvla_edge.runtime.work import Product, Work, batched, converted

ROOF = Roof("a machine", "on", {"fp32": 1e12, "int8": 4e12}, 1e11, 0.0, "made up")
PRODUCT = Product(100, 1000, 1000, 5, "fp32", "fp32")
WORK = Work((PRODUCT,), weight_mb=20.0, cache_mb=10.0, activation_mb=1.0, kernels=5)


@pytest.fixture(scope="module")
def demo() -> Bundle:
    """The bundle that ships."""
    return open_bundle(BUNDLE)


def test_bound_by_arithmetic() -> None:
    """2 · 100 · 1000 · 1000 · 5 = 1 GFLOP at 1 TFLOP/s is 1 ms; 30 MB at 100 GB/s is 0.3 ms."""
    found = floors_of({"vision": (Runs(WORK),)}, ROOF)["vision"]
    assert (found.gflop, found.mb, found.bound_by) == (1.0, 30.0, "arithmetic")
    assert found.seconds == pytest.approx(1e-3)


def test_bound_by_memory() -> None:
    """In int8 the same products take a quarter; the bytes are those given."""
    fast = msgspec.structs.replace(PRODUCT, format="int8")
    work = msgspec.structs.replace(WORK, products=(fast,))
    found = floors_of({"vision": (Runs(work, 10),)}, ROOF)["vision"]
    assert found.bound_by == "memory" and found.seconds == pytest.approx(10 * 0.3e-3)


@pytest.mark.parametrize(("cache_mb", "mb"), [(0, 30), (10, 20), (30, 0), (100, 0)])
def test_what_the_cache_holds_does_not_come_from_memory(cache_mb: float, mb: float) -> None:
    """Of every run."""
    roof = Roof("", "", {"fp32": 1e12}, 1e11, cache_mb * 1e6, "")
    assert floors_of({"vision": (Runs(WORK, 3),)}, roof)["vision"].mb == pytest.approx(3 * mb)


def test_a_format_that_the_board_does_not_know() -> None:
    """Orin has no 8-bit floats."""
    eight = msgspec.structs.replace(PRODUCT, format="fp8")
    with pytest.raises(BoardError, match="products in fp8"):
        floors_of({"vision": (Runs(Work((eight,), 1, 0, 0, 1)),)}, ROOF)


def test_the_demo_on_every_board(demo: Bundle) -> None:
    """All stages have a positive floor; the sums are sums; a faster mode has no higher floor."""
    for board in boards().values():
        before = None
        for mode in board.modes:
            found = floors(demo, board.roof(mode.name))
            parts = {name: one.seconds for name, one in found.items() if name in PATH}
            assert all(seconds > 0 for seconds in parts.values())
            assert found[ACTION].seconds == pytest.approx(sum(parts.values()))
            whole = found[ACTION].seconds + found["prefill"].seconds
            assert found[WHOLE].seconds == pytest.approx(whole)
            assert before is None or before <= whole * (1 + 1e-9)
            before = whole


PATH = ("vision", "embed", "step", "sampler")


def test_the_work_is_what_products_of_that_size_are(demo: Bundle) -> None:
    """The manifest's GFLOP, which the CLI shows, is the sum over its products."""
    for spec in demo.manifest.subgraphs.values():
        assert spec.gflop == {use: pytest.approx(one.gflop) for use, one in spec.work.items()}
    whole = stages(demo.manifest)
    gflop = {name: sum(r.work.gflop * r.times for r in runs) for name, runs in whole.items()}
    assert gflop["sampler"] == pytest.approx(
        10 * demo.manifest.subgraphs["denoise"].gflop["evaluation"]
    )


@pytest.mark.parametrize(
    "name",
    [
        "ddim-10",
        "ddim-5",
        "dpm-4",
        "ddim-10-warm-50",
        "parallel-4",
        "parallel-9",
        "parallel-4-warm-3",
    ],
)
def test_a_sampler_runs_the_denoiser_as_often_as_the_floor_says(demo: Bundle, name: str) -> None:
    """Counted while the sampler itself samples a second step after a first one."""
    spec, calls = named(name, 1.5), list[int]()

    def predict(x: np.ndarray, times: np.ndarray) -> np.ndarray:
        calls.append(len(times))
        return np.zeros_like(x)

    noise = np.zeros((3, 7), np.float32)
    before = sample(noise, predict, spec)
    calls.clear()
    sample(noise, predict, spec, before)
    one = demo.manifest.subgraphs["denoise"].work["evaluation"]
    expected = [batched(one, count).gflop for count in calls]
    found = [
        runs.work.gflop
        for runs in stages(demo.manifest, spec)["sampler"]
        for _ in range(runs.times)
    ]
    assert found == pytest.approx(expected)


def test_a_bundle_from_before(demo: Bundle, tmp_path: Path) -> None:
    """Schema version 1 opens, but says that it was not counted."""
    manifest = json.loads((BUNDLE / "bundle.json").read_text())
    manifest["schema_version"] = 1
    for spec in manifest["subgraphs"].values():
        del spec["work"]
    for file in BUNDLE.iterdir():
        (tmp_path / file.name).hardlink_to(file)
    (tmp_path / "bundle.json").unlink()
    (tmp_path / "bundle.json").write_text(json.dumps(manifest))
    old = open_bundle(tmp_path)
    assert old.manifest.subgraphs["vision"].gflop == demo.manifest.subgraphs["vision"].gflop
    with pytest.raises(BundleError, match="does not say what vision works, .* version 1"):
        floors(old, ROOF)


@given(
    st.integers(1, 500),
    st.integers(1, 500),
    st.integers(1, 500),
    st.sampled_from(["fp16", "int8", "fp8"]),
    st.sampled_from(["fp16", "int8", "int4"]),
)
def test_fewer_bits_are_never_slower(
    rows: int, inner: int, columns: int, to: str, kept: str
) -> None:
    """The arithmetic stays, the bytes fall as the bits do."""
    work = Work(
        (Product(rows, inner, columns, 2, "fp32", "fp32"),), inner * columns * 8e-6, 1, 1, 1
    )
    made = converted(work, to, kept, "fp16")  # type: ignore[arg-type]
    assert made.gflop == work.gflop and made.cache_mb == 0.5
    bytes_per = {"fp16": 2, "int8": 1, "int4": 0.5}[kept]
    assert made.weight_mb == pytest.approx(work.weight_mb * bytes_per / 4)


def test_this_machine(demo: Bundle) -> None:
    """Measured roofs are possible ones, and the demo's weights fit a cache or are read."""
    roof = measured_host(1)
    # Between a slow core and the fastest there are, at 64 operations a clock of AVX-512 or AMX.
    assert 1e9 < roof.operations_per_s["fp32"] < 1e13
    assert 1e8 < roof.bytes_per_s < 1e12
    assert roof.cache_bytes == cache_bytes()
    found = floors(demo, roof)
    assert 0 < found[ACTION].seconds < found[WHOLE].seconds < 10


def test_the_manifest_keeps_the_work(demo: Bundle) -> None:
    """Written and read again."""
    again = msgspec.json.decode(msgspec.json.encode(demo.manifest), type=Manifest)
    assert again == demo.manifest
