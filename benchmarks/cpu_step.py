"""One control step on the CPU: the released loop in PyTorch against the policy of a bundle.

    python benchmarks/cpu_step.py [--json] [--rounds N]
        [--preset cpu] [--sampler ddim-5] [--accepted BUNDLE]

Full CALVIN size, float32, two threads, fresh frames at every step, window full. Both run in
processes of their own and take turns, two steps at a time, of which the second counts; every figure
is a median over the rounds. The same
observations and noise go to both, and their actions must agree. Makes its checkpoint and bundle
itself and keeps them in `--cache` (5 GB).

With --preset or --sampler the policy's bundle is quantized by that plan and samples so; what its
actions then differ by is printed and not judged here, since random weights say nothing of a task:
the same plan and sampler must have passed `dreamvla quantize --accept sim` on a trained network.
--accepted names the bundle that did; its sha256 of plan and sampler must be this policy's, as
`dreamvla quantize` prints it too.

Exits with 1 when the released loop runs below 0.65 of PyTorch's own matrix products, which would
flatter the policy, when actions differ by more than 1e-4 of the largest, when integer sums of a
quantized policy saturate (`saturation.py`), or when the accepted bundle is of another plan or
sampler, or passed nothing.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from material import ROOT, Changed, Prepared, prepared, quantized
from process import Worker
from saturation import errors
from step_faults import faults, not_accepted, recipe, relative_error
from step_table import table

Answers = list[dict[str, Any]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, judge."""
    options = _parser().parse_args(arguments)

    def progress(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    made = prepared(options.cache, options.size, progress)
    if options.preset or options.sampler:
        plan = Changed(options.preset, options.sampler)
        made = quantized(made, plan, options.cache / f"{options.size}.quantized", progress)
    result = measure(made, options.size, options.rounds, options.threads, progress)
    result["faults"] += not_accepted(made.policy, options.accepted)
    faults = result["faults"]
    print(json.dumps(result, indent=1) if options.json else table(result), flush=True)
    for fault in faults:
        progress(f"cpu_step: {fault}")
    return 1 if faults else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--rounds", type=_rounds, default=5, help="timed steps of each, at least 3")
    parser.add_argument("--preset", help="plan of the policy's bundle: cpu, orin or a file")
    parser.add_argument("--sampler", help="of the policy's bundle, by its name")
    parser.add_argument("--accepted", type=Path, help="the bundle whose plan and sampler passed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cache", type=Path, default=ROOT / "build" / "benchmarks")
    parser.add_argument(
        "--size",
        choices=("calvin", "small"),
        default="calvin",
        help="small: a quick trial whose speed is not judged",
    )
    return parser


def _rounds(text: str) -> int:
    rounds = int(text)
    if rounds < 3:
        raise argparse.ArgumentTypeError("a median needs at least 3 rounds")
    return rounds


def measure(made: Prepared, size: str, rounds: int, threads: int, progress: Any) -> dict[str, Any]:
    """Everything that is printed; `faults` says why the figures must not be used."""
    checkpoint, bundle = made.checkpoint, made.bundle
    manifest = json.loads((made.policy / "bundle.json").read_text())
    full = manifest["network"]["window"]
    progress("starting three processes")
    with (
        Worker("policy", checkpoint, made.policy, threads) as policy,
        Worker("torch", checkpoint, bundle, threads) as torch,
        Worker("onnxruntime", checkpoint, bundle, threads) as onnxruntime,
    ):
        progress(f"filling the window ({full} steps)")
        for step in range(full):
            policy.ask("act", step=step)
            torch.ask("act", step=step)
            torch.ask("observe", step=step)
        torch.ask("released", step=full)
        policy.ask("act", step=full)
        torch.ask("act", step=full)
        answers: dict[str, Answers] = {
            name: [] for name in ("released", "policy", "exact", "torch", "onnxruntime")
        }
        for turn in range(rounds):
            step = full + 1 + 2 * turn
            answers["torch"].append(torch.ask("rates"))
            answers["onnxruntime"].append(onnxruntime.ask("rates"))
            answers["released"].append(_second(torch, "released", step))
            answers["policy"].append(_second(policy, "act", step))
            answers["exact"].append(_second(torch, "act", step))
            progress(f"round {turn + 1} of {rounds}: {_round(answers)}")
        about = policy.ask("about"), torch.ask("about")
    result = _result(answers, _work(manifest, made.policy), *about)
    if made.policy != bundle:
        result |= {"policy_error": _errors(answers, "policy"), **made.change._asdict()}
        result |= {"recipe_sha256": recipe(made.policy)}
        result |= {"max_relative_error": _errors(answers, "exact")}
        progress("comparing integer sums with simulated quantization")
        sums = errors(made.policy)
        result |= {"integer_layers": len(sums), "integer_error": max(sums.values(), default=0.0)}
    result["faults"] = faults(result, judge_speed=size == "calvin")
    return {"size": size, "rounds": rounds, "threads": threads, **result}


def _second(worker: Worker, do: str, step: int) -> dict[str, Any]:
    """The second of two steps: a robot's policy never follows half a minute of others' work."""
    worker.ask(do, step=step)
    return worker.ask(do, step=step + 1)


def _round(answers: Mapping[str, Answers]) -> str:
    seconds = answers["released"][-1]["seconds"]
    act = answers["policy"][-1]["observation_to_action_s"]
    return f"released {seconds:.2f} s, observation to action {act:.3f} s"


def _work(manifest: Mapping[str, Any], bundle: Path) -> dict[str, dict[str, float]]:
    """Per stage of the policy: GFLOP, and MB of weights that it reads."""
    steps = len(manifest["sampler"]["timesteps"])
    uses = {
        "vision": ("vision", "frame", 1),
        "step": ("backbone", "step", 1),
        "sampler": ("denoise", "evaluation", steps),
        "prefill": ("backbone", "prefill", 1),
    }
    return {
        stage: {
            "gflop": manifest["subgraphs"][name]["gflop"][use] * times,
            "weight_mb": (bundle / f"{name}.onnx.data").stat().st_size * times / 1e6,
        }
        for stage, (name, use, times) in uses.items()
    }


def _result(
    answers: Mapping[str, Answers],
    work: Mapping[str, Mapping[str, float]],
    policy: Mapping[str, Any],
    torch: Mapping[str, Any],
) -> dict[str, Any]:
    released_s = _median(answers["released"], "seconds")
    act_s = _median(answers["policy"], "observation_to_action_s")
    whole_s = _median(answers["policy"], "seconds")
    ort_sgemm = median(max(rates["gflops"].values()) for rates in answers["onnxruntime"])
    act_gflop = sum(work[stage]["gflop"] for stage in ("vision", "step", "sampler"))
    return {
        "released_loop_s": released_s,
        "observation_to_action_s": act_s,
        "whole_step_s": whole_s,
        "observation_to_action_ratio": released_s / act_s,
        "whole_step_ratio": released_s / whole_s,
        "exact_pytorch_s": _median(answers["exact"], "observation_to_action_s"),
        "exact_pytorch_whole_step_s": _median(answers["exact"], "seconds"),
        "released_gflop": torch["released_gflop"],
        "policy_gflop": act_gflop,
        "released_gflops": torch["released_gflop"] / released_s,
        "policy_gflops": act_gflop / act_s,
        "sgemm_gflops": median(max(rates["gflops"].values()) for rates in answers["torch"]),
        "onnxruntime_sgemm_gflops": ort_sgemm,
        "memory_gb_per_s": _median(answers["torch"], "memory_gb_per_s"),
        "max_relative_error": _errors(answers, "policy", "exact"),
        "peak_rss_mb": policy["peak_rss_mb"],
        "busy_elsewhere": _busiest(answers),
        "stages": _stages(answers["policy"], work, ort_sgemm),
        "machine": {
            "cpu": _cpu(),
            "architecture": platform.machine(),
            "instructions": torch["instructions"],
            "system": platform.platform(),
        },
        "torch_threads": torch["threads"],
        "versions": {
            "python": platform.python_version(),
            **policy["versions"],
            **torch["versions"],
        },
        "samples": answers,
    }


def _stages(
    steps: Answers, work: Mapping[str, Mapping[str, float]], sgemm: float
) -> dict[str, dict[str, float]]:
    stages = {}
    for name in steps[0]["stages"]:
        seconds = median(step["stages"][name] for step in steps)
        stages[name] = {"seconds": seconds, **work.get(name, {})}
        if name in work:
            gflops = work[name]["gflop"] / seconds
            stages[name] |= {
                "gflops": gflops,
                "of_onnxruntime_sgemm": gflops / sgemm,
                "weight_gb_per_s": work[name]["weight_mb"] / 1e3 / seconds,
            }
    return stages


def _errors(answers: Mapping[str, Answers], *names: str) -> float | None:
    """Largest error of an action to the released loop's; None if one is not finite."""
    errors = [
        relative_error(mine["actions"], released["actions"])
        for name in names
        for mine, released in zip(answers[name], answers["released"], strict=True)
    ]
    return None if None in errors else max(error for error in errors if error is not None)


def _busiest(answers: Mapping[str, Answers]) -> float | None:
    """Largest share of the processors that others had during a timed step; None if unknown."""
    shares = [step["elsewhere"] for name in ("released", "policy") for step in answers[name]]
    return None if None in shares else max(shares)


def _median(answers: Answers, key: str) -> float:
    return median(float(answer[key]) for answer in answers)


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    sys.exit(main())
