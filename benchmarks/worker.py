"""One process of a benchmark: answers commands, a JSON object per line, on standard output.

    python benchmarks/worker.py KIND CHECKPOINT BUNDLE THREADS

KIND is a name of `WORKERS`. A command names a method in `do`; its other fields are arguments.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dreamvla_edge.runtime.bundle import open_bundle
from dreamvla_edge.runtime.observation import normalised
from dreamvla_edge.runtime.policy import Policy
from dreamvla_edge.runtime.preprocess import preprocess
from observations import INSTRUCTION, Observation, observation

Answer = dict[str, Any]


class PolicyWorker:
    """The policy with ONNX Runtime; never imports torch."""

    def __init__(self, checkpoint: Path, bundle: Path, threads: int) -> None:
        import onnxruntime

        self.policy = Policy(bundle, threads=threads)
        self.policy.reset(INSTRUCTION)
        self._versions = {"onnxruntime": onnxruntime.__version__, "numpy": np.__version__}

    def act(self, step: int) -> Answer:
        """One step: actions, the time to them and the time until all is computed ahead."""
        return timed_act(self.policy, step)

    def about(self) -> Answer:
        """Versions, and the largest memory of this process so far."""
        return {"versions": self._versions, "peak_rss_mb": _peak_memory() / 1e6}


class TorchWorker:
    """One network in PyTorch, run by the released loop and as the exact graph."""

    def __init__(self, checkpoint: Path, bundle: Path, threads: int) -> None:
        import torch

        from dreamvla_edge.export.data_set import load_data_set
        from dreamvla_edge.export.export import hints
        from dreamvla_edge.export.work import count_released_gflop
        from dreamvla_edge.model.checkpoint import load_network
        from dreamvla_edge.model.released import ReleasedLoop
        from eager_backend import EagerBackend

        torch.set_num_threads(threads)
        network = load_network(checkpoint, hints(load_data_set("calvin"))).requires_grad_(False)
        self.policy = Policy(open_bundle(bundle), EagerBackend(network))
        self.policy.reset(INSTRUCTION)
        self._tokens = torch.from_numpy(self.policy.tokens(INSTRUCTION)[0]).long()
        self._gflop = count_released_gflop(network)
        self._loop = ReleasedLoop(network)

    def observe(self, step: int) -> Answer:
        """The released loop takes an observation without acting on it."""
        self._loop.observe(*self._inputs(observation(self.policy.bundle.manifest, step)))
        return {}

    def released(self, step: int) -> Answer:
        """One step of the released loop."""
        import torch

        seen = observation(self.policy.bundle.manifest, step)
        with _clock() as spent:
            actions = self._loop.act(*self._inputs(seen), torch.from_numpy(seen.noise))
        return {"actions": actions.tolist(), **spent}

    def act(self, step: int) -> Answer:
        """One step of the exact graph."""
        return timed_act(self.policy, step)

    def rates(self) -> Answer:
        """What PyTorch and the memory give on this machine at this moment."""
        from matmul import memory_gb_per_s, torch_gflops

        return {"gflops": torch_gflops(), "memory_gb_per_s": memory_gb_per_s()}

    def about(self) -> Answer:
        """Versions, threads and the work of a released step [GFLOP]."""
        import torch

        return {
            "versions": {"torch": torch.__version__},
            "threads": torch.get_num_threads(),
            "instructions": torch.backends.cpu.get_cpu_capability(),
            "released_gflop": self._gflop,
        }

    def _inputs(self, seen: Observation) -> Any:
        """What the released loop is given, from raw frames and state."""
        import torch

        manifest = self.policy.bundle.manifest
        cameras = manifest.specification.cameras
        frames = zip((seen.primary, seen.wrist), cameras, strict=True)
        images = np.stack([preprocess(*pair, manifest.preprocessing) for pair in frames])
        state = normalised(seen.state, manifest.specification.state)
        return self._tokens, torch.from_numpy(images), torch.from_numpy(state)


class OnnxRuntimeWorker:
    """Large matrix products in ONNX Runtime, apart from the policy and its memory."""

    def __init__(self, checkpoint: Path, bundle: Path, threads: int) -> None:
        self._threads = threads

    def rates(self) -> Answer:
        """What ONNX Runtime gives on this machine at this moment."""
        from matmul import onnxruntime_gflops

        return {"gflops": onnxruntime_gflops(self._threads)}


WORKERS = {"policy": PolicyWorker, "torch": TorchWorker, "onnxruntime": OnnxRuntimeWorker}


def timed_act(policy: Policy, step: int) -> Answer:
    """One step of a policy with nothing left to compute ahead, before and after."""
    seen = observation(policy.bundle.manifest, step)
    slot = min(step, policy.bundle.manifest.network.window - 1)
    policy.settle()
    with _clock() as spent:
        chunk = policy.act(seen.primary, seen.wrist, seen.state, seen.noise[slot])
        acted = time.perf_counter()
        policy.settle()
    whole = spent["seconds"]
    to_action = whole - (spent["end"] - acted)
    stages = {name: end - start for name, (start, end) in chunk.spans.items()}
    return {
        "actions": chunk.actions.tolist(),
        **spent,
        "observation_to_action_s": to_action,
        "stages": {**stages, "prefill": whole - to_action},
    }


@contextmanager
def _clock() -> Iterator[dict[str, float]]:
    """Wall-clock and processor seconds of the body."""
    spent: dict[str, float] = {}
    start, processor = time.perf_counter(), time.process_time()
    yield spent
    spent["end"] = time.perf_counter()
    spent["processor_s"] = time.process_time() - processor
    spent["seconds"] = spent["end"] - start


def _peak_memory() -> int:
    """Largest resident memory of this process so far [bytes]."""
    try:  # getrusage also counts the parent before it started this program
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if platform.system() == "Darwin" else peak * 1024


def main(kind: str, checkpoint: str, bundle: str, threads: str) -> None:
    """Answer until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the program that asks
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not mix with the answers
    worker = WORKERS[kind](Path(checkpoint), Path(bundle), int(threads))
    print(json.dumps({"ready": kind}), file=answers, flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        answer = getattr(worker, command.pop("do"))(**command)
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
