"""The result of `cpu_step.py` as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

DISTURBED = 0.05
"""Share of processor time used elsewhere from which the table warns."""


def table(result: Mapping[str, Any]) -> str:
    """For people to read; the JSON document holds more."""

    def row(name: str, seconds: float, ratio: float = 0) -> str:
        return f"{name:36}{seconds * 1e3:9.1f} ms" + (f"{ratio:7.1f} x" if ratio else "")

    lines = [
        f"{result['machine']['cpu']}, {result['threads']} threads, {result['size']} size,"
        f" medians of {result['rounds']} rounds",
        "",
        row("released loop (PyTorch)", result["released_loop_s"]),
        row(
            "observation to action (policy)",
            result["observation_to_action_s"],
            result["observation_to_action_ratio"],
        ),
        row("whole step with prefill (policy)", result["whole_step_s"], result["whole_step_ratio"]),
        row(
            "observation to action (PyTorch)",
            result["exact_pytorch_s"],
            result["released_loop_s"] / result["exact_pytorch_s"],
        ),
        "",
        f"{'stage of the policy':20}{'ms':>9}{'GFLOP':>9}{'GFLOP/s':>9}{'of sgemm':>10}{'GB/s':>7}",
    ]
    for name, stage in result["stages"].items():
        line = f"{name:20}{stage['seconds'] * 1e3:9.1f}"
        if "gflop" in stage:
            line += f"{stage['gflop']:9.1f}{stage['gflops']:9.0f}"
            line += f"{stage['of_onnxruntime_sgemm']:10.2f}{stage['weight_gb_per_s']:7.1f}"
        lines.append(line)
    lines += [
        "",
        f"sgemm: PyTorch {result['sgemm_gflops']:.0f} GFLOP/s (released loop"
        f" {result['released_gflops']:.0f}), ONNX Runtime"
        f" {result['onnxruntime_sgemm_gflops']:.0f}; memory {result['memory_gb_per_s']:.0f} GB/s",
        f"largest error of an action {_error(result['max_relative_error'])};"
        f" policy's memory {result['peak_rss_mb']:.0f} MB",
    ]
    if "recipe_sha256" in result:
        lines.append(
            f"quantized: an action differs by {_error(result['policy_error'])}; sums of"
            f" {result['integer_layers']} layers are those of simulated quantization within"
            f" {_error(result['integer_error'])}"
        )
        lines.append(f"plan and sampler: sha256 {result['recipe_sha256']}")
    share = result["busy_elsewhere"]
    if share is not None and share > DISTURBED:
        lines.append(f"disturbed: other processes had up to {share:.0%} of the processors")
    return "\n".join(lines)


def _error(error: float | None) -> str:
    return "not finite" if error is None else f"{error:.1e}"
