"""What makes the figures of `cpu_step.py` unusable."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dreamvla_edge.runtime.bundle import open_bundle
from dreamvla_edge.runtime.manifest import recipe_sha256
from saturation import LARGEST

BASELINE_SHARE = 0.65
"""Least share of PyTorch's matrix products that a fair released loop reaches."""
TOLERANCE = 1e-4
"""Largest error of an action at full size, relative to the largest magnitude of the chunk."""


def relative_error(found: Sequence[Any], expected: Sequence[Any]) -> float | None:
    """Largest difference over the largest expected magnitude; None where not finite."""
    difference = np.abs(np.asarray(found) - np.asarray(expected)).max()
    with np.errstate(all="ignore"):
        error = float(difference / np.abs(np.asarray(expected)).max())
    return error if math.isfinite(error) else None  # JSON has no infinity


def recipe(bundle: Path) -> str:
    """Hash of its plan and sampler."""
    return recipe_sha256(open_bundle(bundle).manifest)


def not_accepted(policy: Path, accepted: Path | None) -> list[str]:
    """Why the plan and sampler of this policy are not those that kept the task."""
    if accepted is None:
        return []
    mine, theirs = recipe(policy), recipe(accepted)
    quantization = open_bundle(accepted).manifest.quantization
    passed = (quantization and quantization.acceptance) or {}
    found = []
    if mine != theirs:
        found.append(f"plan and sampler are {mine[:16]}…, those of {accepted} {theirs[:16]}…")
    if passed.get("kind") not in ("sim", "robot"):
        found.append(f"{accepted} passed no acceptance in which a task is done")
    return found


def faults(result: Mapping[str, Any], judge_speed: bool = True) -> list[str]:
    """What makes the figures unusable, one sentence each."""
    found = []
    error = result["max_relative_error"]
    if error is None or not error <= TOLERANCE:
        size = "a value that is not finite" if error is None else f"{error:.2g} of the largest"
        found.append(
            f"the timed actions differ from the released loop's by {size}, more than"
            f" {TOLERANCE:.0e}: the policy computes something else"
        )
    sums = result.get("integer_error", 0.0)
    if not sums <= LARGEST:
        found.append(
            f"a sum of integer products differs from simulated quantization by {sums:.2g} of the"
            " largest: it saturates on this processor, so the policy computes something else"
        )
    least = BASELINE_SHARE * result["sgemm_gflops"]
    if judge_speed and not result["released_gflops"] >= least:
        found.append(
            f"the released loop runs at {result['released_gflops']:.0f} GFLOP/s, below"
            f" {BASELINE_SHARE} of PyTorch's matrix products ({result['sgemm_gflops']:.0f}):"
            " the baseline is disturbed, so ratios to it mean nothing; run on a quiet machine"
        )
    return found
