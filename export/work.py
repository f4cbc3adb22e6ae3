"""Counts the work of each subgraph: 2 operations per multiply-add of matrix products."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode, register_flop_formula

from dreamvla_edge.model.network import DreamVLA
from dreamvla_edge.model.released import run_window

from .subgraphs import Subgraph


@register_flop_formula(torch.ops.dreamvla.masked_attention)
def _attention_flop(
    q: tuple[int, ...],
    past_k: tuple[int, ...],
    past_v: tuple[int, ...],
    k: tuple[int, ...],
    *_: object,
    **__: object,
) -> int:
    heads, readers, width = q
    return 4 * heads * readers * (past_k[1] + k[1]) * width


@register_flop_formula(torch.ops.aten._scaled_dot_product_flash_attention_for_cpu)
def _tower_attention_flop(
    q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...], *_: object, **__: object
) -> int:
    return 4 * q[0] * q[1] * q[2] * k[2] * q[3]


def count_gflop(network: DreamVLA, subgraph: Subgraph) -> dict[str, float]:
    """Work of each use of a subgraph [GFLOP], by the name of the use.

    Masked attention counts all pairs of rows, read or not: that is what dense kernels do.
    """
    config = network.config
    if subgraph.name == "backbone":
        a, queries = config.context_rows, config.step_rows - config.context_rows
        slots = config.window - 1
        uses = {
            "fill": (a + queries, a * slots // 2, config.action_steps),
            "prefill": (a * slots, 0, 0),
            "step": (a + queries, a * slots, config.action_steps),
        }
        return {use: _count(subgraph.module, _backbone(network, *s)) for use, s in uses.items()}
    if subgraph.name == "denoise":
        x, t, features, guidance = subgraph.example
        return {"evaluation": _count(subgraph.module, (x[:1], t[:1], features, guidance))}
    return {_USES.get(subgraph.name, "request"): _count(subgraph.module, subgraph.example)}


_USES = {"text": "instruction", "vision": "frame", "embed": "two steps", "head": "step"}


def _backbone(network: DreamVLA, rows: int, past: int, read: int) -> tuple[object, ...]:
    tower = network.config.backbone
    codes = torch.zeros(rows, dtype=torch.int32)
    old = torch.zeros(past, dtype=torch.int32)
    shape = (tower.heads, past, tower.width // tower.heads)
    cache = tuple(torch.zeros(shape) for _ in range(2 * tower.layers))
    return torch.zeros(rows, tower.width), codes, codes, codes[:read], old, old, cache


def _count(module: nn.Module, inputs: tuple[object, ...]) -> float:
    """Count with shapes only; nothing is computed."""
    with (
        torch.no_grad(),
        FakeTensorMode(allow_non_fake_inputs=True),
        FlopCounterMode(display=False) as counter,
    ):
        module(*inputs)
    return float(counter.get_total_flops()) / 1e9


def count_released_gflop(network: DreamVLA) -> float:
    """Work of one step of the released loop [GFLOP]: all images, texts, tokens and slots."""
    config = network.config
    s, size = config.window, config.image_size
    images: dict[str, Tensor] = {c: torch.zeros(s, 3, size, size) for c in ("primary", "wrist")}
    inputs = (
        network,
        torch.zeros(s, config.context, dtype=torch.long),
        images,
        torch.zeros(s, config.state_size),
        torch.zeros(s, config.action_steps, 7),
    )
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        with FakeTensorMode(allow_non_fake_inputs=True):
            run_window(*inputs)
    return float(counter.get_total_flops()) / 1e9
