"""`benchmarks/cpu_step.py` at a size that takes seconds; its speed is not judged."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundles import change_number, rewrite
from dreamvla_edge.demo import BUNDLE
from project.sources import ROOT

TOLERANCE = 1e-5
"""Of an action's largest magnitude: what float32 implementations of two layers agree to."""

FIGURES = (
    "released_loop_s",
    "observation_to_action_s",
    "whole_step_s",
    "observation_to_action_ratio",
    "whole_step_ratio",
    "exact_pytorch_s",
    "released_gflops",
    "policy_gflops",
    "sgemm_gflops",
    "onnxruntime_sgemm_gflops",
    "peak_rss_mb",
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the benchmark keeps its checkpoint and bundle."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def good(cache: Path) -> subprocess.CompletedProcess[str]:
    """A run that makes what it needs."""
    return run(cache)


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The modules of the folder can be imported, as when a program there is run."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def run(cache: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """The benchmark in a process of its own."""
    program = [sys.executable, ROOT / "benchmarks" / "cpu_step.py"]
    options = ["--size", "small", "--json", "--rounds", "3", "--cache", cache, *more]
    return subprocess.run([*program, *options], capture_output=True, text=True, timeout=600)


def document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one JSON document on standard output."""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_one_document_with_every_figure(good: subprocess.CompletedProcess[str]) -> None:
    """Each figure is a positive number, and the medians are those of the samples."""
    assert good.returncode == 0, good.stderr
    result = document(good)
    assert {name: result[name] for name in FIGURES if not result[name] > 0} == {}
    assert 0 <= result["max_relative_error"] <= TOLERANCE
    assert result["faults"] == []
    assert (result["rounds"], result["threads"], result["torch_threads"]) == (3, 2, 2)
    assert result["machine"]["cpu"]
    assert {"python", "numpy", "onnxruntime", "torch"} <= set(result["versions"])
    samples = result["samples"]
    assert {name: len(steps) for name, steps in samples.items()} == dict.fromkeys(samples, 3)
    released = np.median([step["seconds"] for step in samples["released"]])
    acted = np.median([step["observation_to_action_s"] for step in samples["policy"]])
    assert result["released_loop_s"] == pytest.approx(released)
    assert result["observation_to_action_ratio"] == pytest.approx(released / acted)
    assert {"vision", "embed", "step", "sampler", "prefill"} <= set(result["stages"])


def test_every_step_is_another(good: subprocess.CompletedProcess[str]) -> None:
    """Frames, state and noise are fresh, so no two steps have the same actions."""
    for steps in document(good)["samples"]["released"], document(good)["samples"]["policy"]:
        assert len({json.dumps(step["actions"]) for step in steps}) == 3


@pytest.mark.slow
def test_a_quantized_policy(cache: Path, good: subprocess.CompletedProcess[str]) -> None:
    """Its error is told apart from that of the exact graph, with the plan's hash beside it."""
    assert good.returncode == 0, good.stderr
    result = document(run(cache, "--preset", "cpu", "--sampler", "ddim-5"))
    assert (result["preset"], result["sampler"]) == ("cpu", "ddim-5")
    assert result["faults"] == [] and result["max_relative_error"] <= TOLERANCE
    assert result["policy_error"] > 1e-4 and len(result["recipe_sha256"]) == 64
    assert result["integer_layers"] > 20 and 0 < result["integer_error"] < 1e-5


@pytest.mark.slow
def test_what_is_there_is_used_again_and_a_wrong_policy_fails(
    cache: Path, good: subprocess.CompletedProcess[str], tmp_path: Path
) -> None:
    """One weight of the action head is wrong, in a bundle whose hashes are right."""
    assert good.returncode == 0, good.stderr
    wrong = shutil.copytree(cache, tmp_path / "cache", copy_function=os.link)
    bundle = wrong / "small.bundle"
    change_number(bundle, "denoise.onnx.data", 0, lambda value: value + 100)
    done = run(wrong)
    assert done.returncode == 1
    assert f"using {bundle}" in done.stderr
    assert "the timed actions differ from the released loop's by" in done.stderr
    result = document(done)
    assert len(result["faults"]) == 1
    assert result["max_relative_error"] > 1e-4


def test_what_is_kept_is_used_only_if_it_is_whole_and_of_these_sources(
    cache: Path, good: subprocess.CompletedProcess[str], benchmarks: None, tmp_path: Path
) -> None:
    """Nothing is measured on a damaged file or on what other sources wrote."""
    import material

    assert good.returncode == 0, good.stderr
    kept = shutil.copytree(cache, tmp_path / "cache", copy_function=os.link)
    assert material.kept(kept, "small") is not None
    note = kept / "small.sources"
    sources = note.read_text()
    rewrite(note, b"others")
    assert material.kept(kept, "small") is None
    rewrite(note, sources.encode())
    weights = kept / "small.bundle" / "vision.onnx.data"
    whole = weights.read_bytes()
    rewrite(weights, whole[:-1])
    assert material.kept(kept, "small") is None
    rewrite(weights, whole)
    assert material.kept(kept, "small") is not None
    rewrite(kept / "small.pt", (kept / "small.pt").read_bytes() + b"x")
    assert material.kept(kept, "small") is None


@pytest.mark.parametrize(
    ("error", "released", "judged", "found"),
    [
        (1e-6, 131.0, True, []),
        (1e-6, 129.0, True, ["the released loop runs at 129 GFLOP/s"]),
        (1e-6, 129.0, False, []),
        (1e-6, float("nan"), True, ["the released loop runs at nan GFLOP/s"]),
        (2e-4, 131.0, True, ["the timed actions differ from the released loop's by 0.0002"]),
        (None, 131.0, False, ["the timed actions differ from the released loop's by a value"]),
    ],
)
def test_what_is_refused(
    error: float | None,
    released: float,
    judged: bool,
    found: list[str],
    benchmarks: None,
) -> None:
    """A slow baseline (below 0.65 of 200 GFLOP/s) and wrong actions."""
    from step_faults import faults

    result = {"max_relative_error": error, "released_gflops": released, "sgemm_gflops": 200.0}
    faulty = faults(result, judged)
    assert [text[: len(start)] for text, start in zip(faulty, found, strict=True)] == found


def test_plan_and_sampler_must_have_passed(benchmarks: None, tmp_path: Path) -> None:
    """In the scene or on the arm; and be those that passed."""
    from step_faults import not_accepted

    def passed(name: str, kind: str | None, choices: dict[str, Any]) -> Path:
        """The demo's bundle, which says so."""
        bundle = shutil.copytree(BUNDLE, tmp_path / name)
        manifest = json.loads((bundle / "bundle.json").read_text())
        quantization = {"plan": "p", "choices": choices, "source": "0"}
        acceptance = {"acceptance": {"kind": kind}} if kind else {}
        manifest["quantization"] = quantization | acceptance
        (bundle / "bundle.json").write_text(json.dumps(manifest))
        return bundle

    policy = passed("policy", None, {"vision": {"precision": "w8"}})
    good = passed("good", "sim", {"vision": {"precision": "w8"}})
    assert not_accepted(policy, None) == not_accepted(policy, good) == []
    (one,) = not_accepted(policy, passed("data", "data", {"vision": {"precision": "w8"}}))
    assert "no acceptance in which a task is done" in one
    (one,) = not_accepted(policy, passed("other", "robot", {"vision": {"precision": "w4"}}))
    assert "plan and sampler are" in one
    assert len(not_accepted(policy, policy)) == 1


def test_an_action_that_is_not_finite_is_no_agreement(benchmarks: None) -> None:
    """NaN on either side, and both."""
    from step_faults import relative_error

    nan = float("nan")
    assert relative_error([1.0, 2.0], [1.0, 2.5]) == pytest.approx(0.2)
    for found, expected in (([nan], [1.0]), ([1.0], [nan]), ([nan], [nan]), ([0.0], [0.0])):
        assert relative_error(found, expected) is None
