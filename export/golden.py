"""Golden data of a bundle: what the PyTorch network computes on a short synthetic episode.

Everything is computed in float32 by the network's released forward pass (all tokens, all slots)
or by its own modules, never by the ONNX files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dreamvla_edge.model.mask import step_kinds
from dreamvla_edge.model.network import CAMERAS, DreamVLA
from dreamvla_edge.model.schedule import ddim
from dreamvla_edge.runtime.preprocess import Preprocessing, preprocess
from dreamvla_edge.runtime.specification import Specification
from dreamvla_edge.runtime.tokenizer import Tokenizer
from dreamvla_edge.runtime.verify import DREAM_STRIDE, PREFILL_STRIDE, prefill_layers

from .subgraphs import Backbone

Arrays = dict[str, npt.NDArray[Any]]

INSTRUCTION = "pick up the red block and put it into the bowl"


def synthetic_episode(
    network: DreamVLA, specification: Specification, seed: int
) -> dict[str, npt.NDArray[Any]]:
    """One more step than the window holds: frames, states and sampler noise.

    frames_<camera> (F, height, width, 3) uint8; states (F, 7 or 8); noise (F, P, 7).
    """
    rng = np.random.default_rng(seed)
    steps = network.config.window + 1
    frames = {
        f"frames_{camera.role}": np.stack(
            [_scene(rng, camera.height, camera.width) for _ in range(steps)]
        )
        for camera in specification.cameras
    }
    state = specification.state
    arm = rng.uniform(-1, 1, (steps, len(state.dimensions)))
    if state.gripper == "fingers":
        gripper = rng.uniform(-0.04, 0.04, (steps, 2))
    else:
        gripper = np.where(rng.random((steps, 1)) < 0.5, -1, 1)
    noise = rng.standard_normal((steps, network.config.action_steps, 7))
    return {
        **frames,
        "states": np.concatenate([arm, gripper], 1).astype(np.float32),
        "noise": noise.astype(np.float32),
    }


def _scene(rng: np.random.Generator, height: int, width: int) -> npt.NDArray[np.uint8]:
    """Coloured blocks of eight pixels, so that resizing and flips show."""
    rows, columns = -(-height // 8), -(-width // 8)
    blocks = rng.integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    return np.kron(blocks, np.ones((8, 8, 1), np.uint8))[:height, :width]


@torch.inference_mode()
def record_golden(
    network: DreamVLA,
    specification: Specification,
    preprocessing: Preprocessing,
    tokenizer: Tokenizer,
    seed: int = 0,
) -> Arrays:
    """All arrays of `golden.npz`; `runtime/verify.py` says how each is used."""
    config, window = network.config, network.config.window
    episode = synthetic_episode(network, specification, seed)
    images = _images(episode, specification, preprocessing)  # (F, 2, 3, h, w)
    tokens = tokenizer(INSTRUCTION)
    text = network.text(torch.from_numpy(tokens).long())
    vision = torch.cat([_vision(network, torch.from_numpy(frame)) for frame in images])
    states = torch.from_numpy(episode["states"])
    slots = torch.arange(window)
    context = network.context(text, states[1:], vision[1:], slots)  # (S, A, D) of the last window
    features, actions = [], []
    dream_rows = slice(config.context_rows, config.context_rows + config.dream_rows)
    for count in checked_steps(window):
        first, seen = max(count - window, 0), min(count, window)
        index = [*range(first, count)] + [count - 1] * (window - seen)
        step = network.window(text, states[index], vision[index])[seen - 1]
        features.append(step[-config.action_steps :])
        noise = torch.from_numpy(episode["noise"][count - 1])
        actions.append(_sample(network, features[-1], noise))
    arrays: dict[str, Tensor] = {
        "images": torch.from_numpy(images[0]),
        "text": text,
        "vision": vision,
        "context": context,
        "queries": network.queries(slots),
        "features": torch.stack(features),
        "actions": torch.stack(actions),
        **_prefill(network, context[:-1].flatten(0, 1)),
        **_denoising(network, features[-1], torch.from_numpy(episode["noise"][-1])),
    }
    for head in config.dreams:
        dream = network.dream(head.name, step[dream_rows])
        arrays[f"dream_{head.name}"] = dream[:, ::DREAM_STRIDE]
    return {
        **episode,
        "instruction": np.array(INSTRUCTION),
        "tokens": tokens,
        **{name: value.contiguous().numpy() for name, value in arrays.items()},
    }


def checked_steps(window: int) -> tuple[int, int, int]:
    """Numbers of frames after which features are recorded: first, window full, window slid."""
    return 1, window, window + 1


def _images(
    episode: Arrays, specification: Specification, preprocessing: Preprocessing
) -> npt.NDArray[np.float32]:
    steps = len(episode["states"])
    return np.stack(
        [
            np.stack(
                [
                    preprocess(episode[f"frames_{camera.role}"][step], camera, preprocessing)
                    for camera in specification.cameras
                ]
            )
            for step in range(steps)
        ]
    )


def _vision(network: DreamVLA, images: Tensor) -> Tensor:
    """Vision rows (1, A-2, D) of one frame pair (2, 3, h, w)."""
    parts = [network.project(*network.see(images[i : i + 1]), c) for i, c in enumerate(CAMERAS)]
    return torch.cat([rows for _, rows in parts] + [cls for cls, _ in parts], 1)


def _sample(network: DreamVLA, features: Tensor, noise: Tensor) -> Tensor:
    if network.config.action_head == "mlp":
        return network.mlp_action(features)
    net, guidance = network.action_model.net, network.config.guidance
    steps = network.config.sampler_steps
    return ddim(noise[None], lambda x, t: net.guided(x, t, features[None], guidance), steps)[0]


def _prefill(network: DreamVLA, rows: Tensor) -> dict[str, Tensor]:
    """Keys and values of some layers and rows, for the window without its newest step."""
    config = network.config
    slots = config.window - 1
    kind = torch.tensor(step_kinds(config)[: config.context_rows]).repeat(slots)
    slot = torch.arange(slots).repeat_interleave(config.context_rows)
    tower = config.backbone
    empty = torch.zeros(tower.heads, 0, tower.width // tower.heads)
    nothing = torch.zeros(0, dtype=torch.long)
    outputs = Backbone(network)(
        rows, kind, slot, nothing, nothing, nothing, (empty,) * (2 * tower.layers)
    )
    return {
        f"prefill_{part}{layer}": outputs[2 * layer + index][:, ::PREFILL_STRIDE]
        for layer in prefill_layers(tower.layers)
        for index, part in enumerate("kv")
    }


def _denoising(network: DreamVLA, features: Tensor, noise: Tensor) -> dict[str, Tensor]:
    """Every input and output of the denoiser on the way from noise to actions."""
    if network.config.action_head == "mlp":
        return {}
    seen: list[tuple[Tensor, Tensor, Tensor]] = []
    net, guidance = network.action_model.net, network.config.guidance

    def predict(x: Tensor, t: Tensor) -> Tensor:
        epsilon = net.guided(x, t, features[None], guidance)
        seen.append((x[0], t[0].int(), epsilon[0]))
        return epsilon

    ddim(noise[None], predict, network.config.sampler_steps)
    x, t, epsilon = (torch.stack(part) for part in zip(*seen, strict=True))
    return {"denoise_x": x, "denoise_t": t, "denoise_noise": epsilon}
