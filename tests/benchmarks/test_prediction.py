"""`benchmarks/prediction.py`: the fit, and the whole at a size that takes seconds."""

from __future__ import annotations

import json
import math
import subprocess
import sys
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
    uses = [(10, 1.0, 1e-3), (200, 4.0, 5e-3), (50, 30.0, 0.0)]
    measured = [
        host_model.Measured(work(kernels, mb), products, products + kernels * 2e-6 + mb * 3e-5)
        for kernels, mb, products in uses
    ]
    costs = host_model.fitted(measured)
    assert costs == pytest.approx((2e-6, 3e-5))
    assert host_model.predicted_s(work(7, 2.0), 0.1, costs) == pytest.approx(0.1 + 14e-6 + 6e-5)


def test_a_cost_is_never_below_zero(host_model: ModuleType) -> None:
    """Kernels that seem to give time back cost nothing."""
    measured = [
        host_model.Measured(work(kernels, 10.0), 0.0, 1e-3 - kernels * 1e-6)
        for kernels in (1, 10, 100)
    ]
    costs = host_model.fitted(measured)
    assert costs.per_kernel_s == 0 and 0 < costs.per_mb_s < 1e-4


@pytest.mark.slow
def test_the_whole_program(tmp_path: Path) -> None:
    """On a small network; how well it predicts is not judged, since others use the machine."""
    program = [sys.executable, str(ROOT / "benchmarks" / "prediction.py"), "--json", "--busy"]
    program += ["--size", "small", "--seconds", "0.05", "--cache", str(tmp_path)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=280)
    assert done.returncode in (0, 1), done.stderr
    told = json.loads(done.stdout)
    assert (done.returncode == 0) == (told["largest_error"] <= 0.15)
    uses = {row["use"] for row in told["rows"]}
    assert uses >= {"vision frame", "backbone step", "denoise evaluation", "demo vision frame"}
    for row in told["rows"]:
        assert math.isfinite(row["error"]) and 0 < row["products_s"] <= row["predicted_s"]
