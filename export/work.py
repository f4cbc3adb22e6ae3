"""Counts the work of the released loop: 2 operations per multiply-add of matrix products."""

from __future__ import annotations

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode, register_flop_formula

from dreamvla_edge.model.network import DreamVLA
from dreamvla_edge.model.released import run_window


@register_flop_formula(torch.ops.aten._scaled_dot_product_flash_attention_for_cpu)
def _tower_attention_flop(
    q: tuple[int, ...], k: tuple[int, ...], v: tuple[int, ...], *_: object, **__: object
) -> int:
    return 4 * q[0] * q[1] * q[2] * k[2] * q[3]


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
