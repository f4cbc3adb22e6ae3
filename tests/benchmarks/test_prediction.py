"""`benchmarks/prediction.py`: the fit, and the whole at a size that takes seconds."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

from dreamvla_edge.runtime.work import Product, Work
from project.sources import ROOT


@pytest.fixture
def host_model(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of the benchmarks' folder."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import host_model

    return host_model


def work(kernels: int, activation_mb: float) -> Work:
    """Some work without products that matter."""
    return Work((Product(1, 1, 1, 1, "fp32", "fp32"),), 0, 0, activation_mb, kernels)


def test_known_costs_are_found(host_model: ModuleType) -> None:
    """Exactly, whatever the products take."""
    uses = [(10, 1.0, 1e-3), (200, 4.0, 5e-3), (50, 30.0, 0.0), (50, 2.0, 0.0)]
    measured = [
        host_model.Measured(
            work(kernels, mb), products, products + 1e-5 + kernels * 2e-6 + mb * 3e-5
        )
        for kernels, mb, products in uses
    ]
    costs = host_model.fitted(measured)
    assert costs == pytest.approx((1e-5, 2e-6, 3e-5))
    for share in (1.0, 0.5):
        expected = 0.1 + 1e-5 + 14e-6 + share * 6e-5
        assert host_model.predicted_s(work(7, 2.0), 0.1, costs, share) == pytest.approx(expected)


def test_threads_that_help_nothing(host_model: ModuleType) -> None:
    """A second thread is no help with a few numbers, and none was asked for with one."""
    small, large = work(100, 0.1), work(10, 160.0)
    probes = host_model.Probes(1, time.perf_counter, 0.02)
    assert probes.share(small) == probes.share(large) == 1.0
    probes = host_model.Probes(2, time.perf_counter, 0.05)
    probes.look([small, large])
    assert probes.share(small) > 0.9 and 0 < probes.share(large) <= 1


def test_the_shortest_of_all_looks_counts(
    host_model: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of products with different weights and of pairs, each for itself."""
    found = iter([8.0, 9.0, 4.0, 10.0, 5.0, 9.5])
    monkeypatch.setattr(host_model, "shortest", lambda *_: next(found))
    linear, pair = Product(3, 4, 5, 7, "fp32", "fp32"), Product(3, 4, 5, 20, "fp32", None)
    both = [Work((one,), 1e-3, 0, 1.0, 10) for one in (linear, pair)]
    probes = host_model.Probes(1, time.perf_counter, 0.0)
    for _ in range(3):
        for one in both:
            probes.look([one])
    # A kilobyte holds twelve weights of 4 x 5; sixteen pairs are measured together.
    assert probes.products_s(both[0]) == pytest.approx(7 * 4.0 / 12)
    assert probes.products_s(both[1]) == pytest.approx(20 * 9.0 / 16)


def test_a_cost_is_never_below_zero(host_model: ModuleType) -> None:
    """Kernels that seem to give time back cost nothing."""
    measured = [
        host_model.Measured(work(kernels, mb), 0.0, 1e-3 + mb * 1e-4 - kernels * 1e-6)
        for kernels, mb in ((1, 10.0), (10, 20.0), (100, 10.0), (10, 30.0))
    ]
    costs = host_model.fitted(measured)
    assert costs.per_kernel_s == 0 and costs.per_run_s > 0 and 0 < costs.per_mb_s < 1e-3


@pytest.mark.slow
def test_the_whole_program(tmp_path: Path) -> None:
    """On a small network; how well it predicts is not judged, since others use the machine."""
    program = [sys.executable, str(ROOT / "benchmarks" / "prediction.py"), "--json", "--busy"]
    program += ["--size", "small", "--seconds", "0.05", "--cache", str(tmp_path)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=600)
    assert done.returncode in (0, 1), done.stderr
    told = json.loads(done.stdout)
    assert (done.returncode == 0) == (told["largest_error"] <= 0.15)
    uses = {row["use"] for row in told["rows"]}
    assert uses >= {"vision frame", "backbone step", "denoise evaluation", "demo vision frame"}
    for row in told["rows"]:
        assert math.isfinite(row["error"]) and 0 < row["products_s"] <= row["predicted_s"]
