"""Our CUDA kernels on a GPU: checked first, then timed against PyTorch and against their floors.

    python benchmarks/gpu_kernels.py [--json FILE] [--cases 200] [--check]
    compute-sanitizer --tool memcheck --error-exitcode 9 \
        python benchmarks/gpu_kernels.py --check --cases 5    # and racecheck, synccheck, initcheck

Needs an NVIDIA GPU and a PyTorch with CUDA; --check needs the GPU alone, and ends after the first
part. Random cases of every kernel against its reference come first; nothing is timed if one is
wrong. Then, each the median of paired rounds:

- attention of one full-size layer at 417 rows (window full) and 93 rows with 324 past keys,
  against SDPA with the mask and FlexAttention;
- a DDIM-10 sampler of the full-size denoiser against the same network in PyTorch in a CUDA graph,
  and against its floor: bytes of weights over the measured bandwidth, plus measured barriers;
- the whole exact step of a full-size network, from a frame to actions (PyTorch in a CUDA graph for
  vision and backbone, our kernel for the sampler), against the released loop, whose actions it
  must give.

`benchmarks/results/` keeps the JSON of runs, with device and date.
"""

from __future__ import annotations

import argparse
import copy
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
from dreamvla_edge.kernels.device import Device, KernelError, make_device
from dreamvla_edge.kernels.masked_attention import AttentionKernel
from dreamvla_edge.kernels.table import ddim_table
from dreamvla_edge.kernels.tolerance import FACTORS
from dreamvla_edge.model.config import ModelConfig
from dreamvla_edge.model.denoiser import Denoiser
from dreamvla_edge.model.mask import mask_table, step_kinds
from dreamvla_edge.model.network import CAMERAS, DreamVLA
from dreamvla_edge.model.released import run_window
from dreamvla_edge.model.synthetic import CALVIN, random_state
from dreamvla_edge.runtime.samplers.named import named
from exact_step import ExactStep, Frame

_ROUNDS, _LAUNCHES = 15, 50
_HEADS, _WIDTH, _GUIDANCE = 16, 64, 1.5
_LARGEST_AWAY = 0.05
"""Of a step in halves from one in float32, of the largest action: ten evaluations of halves."""
_COPIED = 1 << 28
"""Bytes of the copy that measures bandwidth."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Checks, times, prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("--json", type=Path, help="where the document goes, stdout without")
    parser.add_argument("--cases", type=int, default=200, help="random cases of each kernel")
    parser.add_argument("--check", action="store_true", help="check the kernels, time nothing")
    options = parser.parse_args(arguments)
    try:
        device = make_device("cuda-bindings")
        if not (options.check or torch.cuda.is_available()):
            raise KernelError(f"PyTorch {torch.__version__} has no CUDA; install one that has")
    except KernelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    found: dict[str, Any] = {
        "architecture": device.architecture,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "cases": check(device, options.cases),
    }
    if not options.check:
        found |= {"device": torch.cuda.get_device_name(0), "torch": torch.__version__}
        found["attention"] = {
            name: attention(device, past, rows)
            for name, past, rows in (("window full, 417 rows", 0, 417), ("step, 93 rows", 324, 93))
        }
        found["sampler"] = sampler(device)
        found["step"] = step(device)
    text = json.dumps(found, indent=1)
    if options.json is None:
        print(text)
    else:
        options.json.write_text(text)
    return 0


def check(device: Device, cases: int) -> dict[str, float]:
    """Largest error of each kernel in units of its reference's in halves; exits if it is wrong."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from kernel_cases import KERNELS

    worst = {}
    for name, run in KERNELS.items():
        shares = []
        for seed in range(cases):
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


def step(device: Device) -> dict[str, Any]:
    """Times [µs] of a whole step, and how far its actions are from the released loop's."""
    network = random_network(CALVIN).cuda()
    frames, noise = random_frames(network, CALVIN.window), torch.randn(CALVIN.action_steps, 7)
    text = network.text(torch.zeros(1, 77, dtype=torch.long, device="cuda"))
    loop = released(network, frames, noise)
    wanted = loop().float().cpu()
    run = OurStep(device, network, text, frames, noise)
    found = torch.from_numpy(run())
    away = float((found - wanted).abs().max() / wanted.abs().max())
    if not away <= _LARGEST_AWAY:
        raise SystemExit(f"the exact step is wrong: {away:.3g} of the largest action")
    times = paired(device, {"released": loop, "exact": run.launch}, launches=5)
    return {"us": times, "away": away, "times_faster": times["released"] / times["exact"]}


def random_network(config: ModelConfig) -> DreamVLA:
    """In float32 on the CPU."""
    network = DreamVLA(config).eval().requires_grad_(False)
    network.load_state_dict(random_state(config, 0), strict=False)
    return network


def random_frames(network: DreamVLA, count: int) -> list[Frame]:
    """On the network's device and in its type."""
    like, config = next(network.parameters()), network.config
    size, random = config.image_size, torch.Generator().manual_seed(0)
    return [
        Frame(
            torch.randn(2, 3, size, size, generator=random).to(like),
            torch.ones(config.state_size).to(like),
        )
        for _ in range(count)
    ]


def released(network: DreamVLA, frames: list[Frame], noise: torch.Tensor) -> Callable[[], Any]:
    """The released loop's chunk (P, 7) for the newest of the frames."""
    like, count = next(network.parameters()), len(frames)
    tokens = torch.zeros(count, 77, dtype=torch.long, device=like.device)
    images = torch.stack([frame.images for frame in frames])
    cameras = {camera: images[:, i] for i, camera in enumerate(CAMERAS)}
    states = torch.stack([frame.state for frame in frames])
    all_noise = noise.to(like).expand(count, *noise.shape)
    return lambda: run_window(network, tokens, cameras, states, all_noise).actions[-1]


class OurStep:
    """The exact step in halves: vision and backbone as a CUDA graph, the sampler as our kernel."""

    @torch.no_grad()
    def __init__(
        self,
        device: Device,
        network: DreamVLA,
        text: torch.Tensor,
        frames: list[Frame],
        noise: torch.Tensor,
    ) -> None:
        spec = named("ddim-10", network.config.guidance)
        assert network.config.denoiser is not None
        arrays = {n: w.cpu().numpy() for n, w in network.action_model.net.state_dict().items()}
        weights = denoiser_weights(arrays, network.config.denoiser.heads, spec.timesteps)
        self._kernel = DenoiseKernel(device, weights, ddim_table(spec.alpha_bar, spec.guidance))
        device.write(self._kernel.noise, noise.numpy())
        half = copy.deepcopy(network).half()
        frames = [Frame(frame.images.half(), frame.state.half()) for frame in frames]
        run = ExactStep(half, text.half(), frames[:-1])
        self._features = at(self._kernel.features.address, run(frames[-1]).shape)
        self._device, self._shape = device, noise.shape
        # One stream for both: what the graph leaves, the kernel reads.
        self._stream = torch.cuda.ExternalStream(int(device.stream))  # type: ignore[attr-defined]
        torch.cuda.synchronize()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=self._stream):
            self._features.copy_(run(frames[-1]))

    def launch(self) -> None:
        """One step, in the stream."""
        with torch.cuda.stream(self._stream):
            self._graph.replay()
        self._kernel.launch()

    def __call__(self) -> np.ndarray:
        """One step's actions (P, 7)."""
        self.launch()
        return self._device.download(self._kernel.actions, tuple(self._shape), np.float32)


def at(address: int, shape: Sequence[int]) -> torch.Tensor:
    """Halves at an address of the GPU as PyTorch sees them."""

    class Interface:  # CUDA array interface, version 3
        __cuda_array_interface__ = {
            "shape": tuple(shape),
            "typestr": "<f2",
            "data": (address, False),
            "version": 3,
        }

    return torch.as_tensor(Interface(), device="cuda")


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


def paired(
    device: Device, ways: dict[str, Callable[[], object]], launches: int = _LAUNCHES
) -> dict[str, float]:
    """Median time [µs] of each way, in rounds in which all take their turn."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(_ROUNDS + 1):
        for name, way in ways.items():
            torch.cuda.synchronize()
            device.synchronize()
            begin = time.perf_counter()
            for _ in range(launches):
                way()
            torch.cuda.synchronize()
            device.synchronize()
            if number:  # the first round warms up
                taken[name].append((time.perf_counter() - begin) / launches * 1e6)
    return {name: median(times) for name, times in taken.items()}


if __name__ == "__main__":
    sys.exit(main())
