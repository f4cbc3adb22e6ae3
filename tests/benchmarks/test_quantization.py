"""`benchmarks/samplers.py` and `quantization.py` on little; their speed is not judged."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import pytest

from project.sources import ROOT

pytestmark = pytest.mark.slow


def run(name: str, *options: str) -> Any:
    """A benchmark's document."""
    program = [sys.executable, str(ROOT / "benchmarks" / name), "--json", *options]
    done = subprocess.run(program, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_samplers() -> None:
    """More sweeps are nearer to DDIM-10, and all of them are it."""
    told = run("samplers.py", "--episodes", "1")
    rows = {row["sampler"]: row for row in told["samplers"]}
    assert told["decisions"] > 10 and rows["another noise"]["in_spreads"] == pytest.approx(1)
    assert rows["parallel-9"]["mean"] < 1e-4 < rows["parallel-1"]["mean"]
    assert rows["parallel-4"]["streams"] == 5 and rows["ddim-5"]["streams"] == 5
    assert all(math.isfinite(row["mean"]) for row in rows.values())


def test_quantization() -> None:
    """As exported there is no error; presets are smaller; finalists have been played."""
    few = "--frames", "25", "--finalists", "cpu:ddim-10", "--episodes", "5"
    told = run("quantization.py", "--networks", "demo", *few)
    rows = {(row["precision"], row["sampler"]): row for row in told["networks"]["demo"]}
    assert rows["as exported", "ddim-10"]["error_share"] == 0
    for preset in ("cpu", "orin"):
        row = rows[preset, "ddim-10"]
        assert 0 < row["error_share"] < 1 and row["mb"] < rows["as exported", "ddim-10"]["mb"] / 2
    first, second = told["finalists"]
    assert first["difference"] == 0 and (first["name"], second["name"]) == ("", "cpu:ddim-10")
    assert 0 <= second["low"] <= second["mean"] <= second["high"] <= 1 and second["episodes"] == 5
