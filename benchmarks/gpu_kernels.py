"""Our CUDA kernels on a GPU: checked first, then timed against PyTorch and against their floors.

    python benchmarks/gpu_kernels.py [--json FILE] [--device cuda-bindings|pycuda]

Needs an NVIDIA GPU and a PyTorch with CUDA. 200 random cases of every kernel against its reference
come first; nothing is timed if one is wrong. Then, each the median of paired rounds:

- attention of one full-size layer at 417 rows (window full) and 93 rows with 324 past keys,
  against SDPA with the mask and FlexAttention;
- a DDIM-10 sampler of the full-size denoiser against the same network in PyTorch in a CUDA graph,
  and against its floor: bytes of weights over the measured bandwidth, plus measured barriers.

`benchmarks/results/` keeps the JSON of runs, with device and date.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from dreamvla_edge.kernels.denoise import DenoiseKernel, weight_bytes
from dreamvla_edge.kernels.denoiser import DenoiserWeights, denoiser_weights
from dreamvla_edge.kernels.device import Device, make_device
from dreamvla_edge.kernels.masked_attention import AttentionKernel
from dreamvla_edge.kernels.table import ddim_table
from dreamvla_edge.kernels.tolerance import FACTORS
from dreamvla_edge.model.denoiser import Denoiser
from dreamvla_edge.model.mask import mask_table, step_kinds
from dreamvla_edge.model.synthetic import CALVIN
from dreamvla_edge.runtime.samplers.named import named

_CASES, _ROUNDS, _LAUNCHES = 200, 15, 50
_HEADS, _WIDTH, _GUIDANCE = 16, 64, 1.5
_COPIED = 1 << 28
"""Bytes of the copy that measures bandwidth."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Checks, times, prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--json", type=Path, help="where the document goes, stdout without")
    parser.add_argument("--device", default="cuda-bindings")
    options = parser.parse_args(arguments)
    device = make_device(options.device)
    found: dict[str, Any] = {
        "device": torch.cuda.get_device_name(0),
        "architecture": device.architecture,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "torch": torch.__version__,
        "cases": check(device),
    }
    found["attention"] = {
        name: attention(device, past, rows)
        for name, past, rows in (("window full, 417 rows", 0, 417), ("step, 93 rows", 324, 93))
    }
    found["sampler"] = sampler(device)
    text = json.dumps(found, indent=1)
    if options.json is None:
        print(text)
    else:
        options.json.write_text(text)
    return 0


def check(device: Device) -> dict[str, float]:
    """Largest error of each kernel in units of its reference's in halves; exits if it is wrong."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from kernel_cases import KERNELS

    worst = {}
    for name, run in KERNELS.items():
        shares = []
        for seed in range(_CASES):
            mine, halves = run(device, np.random.default_rng(seed))
            if not mine <= FACTORS[name] * halves:
                raise SystemExit(f"{name} is wrong in case {seed}: {mine:.3g}, {halves:.3g}")
            shares.append(mine / halves if halves else 0.0)
        worst[name] = max(shares)
    return worst


def attention(device: Device, past: int, rows: int) -> dict[str, float]:
    """Times [µs] of one layer."""
    config = CALVIN
    kinds = np.array(step_kinds(config), np.int32)
    context = kinds[: len(kinds) - config.dream_rows - config.action_steps]
    slots = 10
    if past:
        kind, slot = kinds, np.full(len(kinds), slots - 1, np.int32)
    else:
        kind = np.concatenate([np.tile(context, slots - 1), kinds])
        slot = np.concatenate(
            [np.repeat(np.arange(slots - 1), len(context)), np.full(len(kinds), slots - 1)]
        )
    key_kind = np.concatenate([np.tile(context, past // len(context)), kind])
    key_slot = np.concatenate([np.repeat(np.arange(past // len(context)), len(context)), slot])
    assert len(kind) == rows
    random = np.random.default_rng(0)
    q, k, v = (
        random.standard_normal((_HEADS, n, _WIDTH)).astype(np.float16)
        for n in (rows, past + rows, past + rows)
    )
    table = np.array(mask_table(config), np.int32)
    kernel = AttentionKernel(
        device,
        q,
        k[:, :past],
        v[:, :past],
        k[:, past:],
        v[:, past:],
        kind,
        slot,
        key_kind,
        key_slot,
        table,
        _WIDTH**-0.5,
    )
    ahead = key_slot[None] - slot[:, None]
    allowed = np.zeros(ahead.shape, bool)
    for reader, read, first, last in table:
        pair = (kind[:, None] == reader) & (key_kind[None] == read)
        allowed |= pair & (first <= ahead) & (ahead <= last)
    mask = torch.from_numpy(allowed).cuda()
    gpu = [torch.from_numpy(part)[None].cuda() for part in (q, k, v)]
    sdpa = torch.nn.functional.scaled_dot_product_attention

    def flex() -> Callable[[], object]:
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        block = create_block_mask(
            lambda b, h, i, j: mask[i, j], None, None, rows, past + rows, "cuda"
        )
        compiled = torch.compile(flex_attention)
        return lambda: compiled(*gpu, block_mask=block)

    return paired(
        device,
        {
            "ours": kernel.launch,
            "sdpa": lambda: sdpa(*gpu, attn_mask=mask),
            "flex": flex(),
        },
    )


def sampler(device: Device) -> dict[str, Any]:
    """Times [µs] of ten steps, and the floor."""
    spec = named("ddim-10", _GUIDANCE)
    config = CALVIN
    torch.manual_seed(0)
    network = Denoiser(config).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.02)
    assert config.denoiser is not None
    arrays = {name: w.numpy() for name, w in network.state_dict().items()}
    weights = denoiser_weights(arrays, config.denoiser.heads, spec.timesteps)
    table = ddim_table(spec.alpha_bar, spec.guidance)
    ways: dict[str, Callable[[], object]] = {"pytorch": _graph(network.cuda().half())}
    kernels = {}
    for name, packed in (("half", weights), ("int8", weights.in_int8())):
        kernels[name] = DenoiseKernel(device, packed, table)
        ways[name] = kernels[name].launch
    times = paired(device, ways)
    bandwidth = _bandwidth()
    barrier = _barrier(device, weights, spec.timesteps)
    floors = {
        name: weight_bytes(packed, table) / bandwidth * 1e6
        + barrier * (7 * len(weights.blocks) + 1) * len(table.evaluations)
        for name, packed in (("half", weights), ("int8", weights.in_int8()))
    }
    return {
        "us": times,
        "floor_us": floors,
        "of_floor": {name: times[name] / floors[name] for name in floors},
        "bandwidth_gb_s": bandwidth / 1e9,
        "barrier_us": barrier,
    }


def _graph(network: Denoiser) -> Callable[[], object]:
    """DDIM-10 of the network as PyTorch computes it, in a CUDA graph."""
    spec = named("ddim-10", _GUIDANCE)
    x = torch.randn(1, CALVIN.action_steps, 7, device="cuda", dtype=torch.half)
    features = torch.randn(
        1, CALVIN.action_steps, CALVIN.backbone.width, device="cuda", dtype=torch.half
    )
    times = [torch.tensor([t], device="cuda") for t in spec.timesteps]
    levels = [*spec.alpha_bar, 1.0]

    @torch.no_grad()
    def steps() -> torch.Tensor:
        state = x
        for i, t in enumerate(times):
            noise = network.guided(state, t, features, _GUIDANCE)
            start = (state - (1 - levels[i]) ** 0.5 * noise) / levels[i] ** 0.5
            state = levels[i + 1] ** 0.5 * start + (1 - levels[i + 1]) ** 0.5 * noise
        return state

    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            steps()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        steps()
    return graph.replay


def _bandwidth() -> float:
    """Bytes a second that a reduction reads."""
    data = torch.ones(_COPIED // 4, device="cuda")
    data.sum()
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(10):
        data.sum()
    torch.cuda.synchronize()
    return 10 * _COPIED / (time.perf_counter() - begin)


def _barrier(device: Device, weights: DenoiserWeights, times: Sequence[int]) -> float:
    """Time [µs] of one meeting of the grid: of a sampler of almost no weights, shared out."""
    random = np.random.default_rng(0)
    width, layers = 16, 12
    arrays: dict[str, np.ndarray] = {
        "positional_embedding": np.zeros((6, width), np.float32),
        "z_embedder.uncondition": np.zeros((1, width), np.float32),
    }
    shapes = {"z_embedder.linear": (width, width), "x_embedder.linear": (width, 7)}
    shapes |= {"t_embedder.mlp.0": (width, 16), "t_embedder.mlp.2": (width, width)}
    shapes |= {"final_layer.linear": (7, width)}
    for i in range(layers):
        parts = {"attn.qkv": 3 * width, "attn.proj": width, "mlp.fc1": width, "mlp.fc2": width}
        shapes |= {f"blocks.{i}.{name}": (outputs, width) for name, outputs in parts.items()}
    for name, shape in shapes.items():
        arrays[f"{name}.weight"] = 0.02 * random.standard_normal(shape).astype(np.float32)
        arrays[f"{name}.bias"] = np.zeros(shape[0], np.float32)
    table = ddim_table(named("ddim-10", _GUIDANCE).alpha_bar, _GUIDANCE)
    kernel = DenoiseKernel(device, denoiser_weights(arrays, 2, times), table)
    return paired(device, {"empty": kernel.launch})["empty"] / ((7 * layers + 1) * 10)


def paired(device: Device, ways: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Median time [µs] of each way, in rounds in which all take their turn."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(_ROUNDS + 1):
        for name, way in ways.items():
            torch.cuda.synchronize()
            device.synchronize()
            begin = time.perf_counter()
            for _ in range(_LAUNCHES):
                way()
            torch.cuda.synchronize()
            device.synchronize()
            if number:  # the first round warms up
                taken[name].append((time.perf_counter() - begin) / _LAUNCHES * 1e6)
    return {name: median(times) for name, times in taken.items()}


if __name__ == "__main__":
    sys.exit(main())
