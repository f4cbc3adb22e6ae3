"""Random cases of every kernel, run by the emulation and compared with the references.

    python kernel_cases.py KERNEL FIRST END

prints one JSON line per seed: the kernel's error to the reference in float64, and that of the
reference in halves. As a program of its own it can be started with the sanitizers' library.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from dreamvla_edge.kernels import masked_attention as attention
from dreamvla_edge.kernels import preprocess as images
from dreamvla_edge.kernels.denoise import DenoiseKernel, weight_bytes
from dreamvla_edge.kernels.denoiser import DenoiserWeights, denoiser_weights
from dreamvla_edge.kernels.device import Device
from dreamvla_edge.kernels.emulation.emulation import SANITIZED, Emulation
from dreamvla_edge.kernels.references import denoise as denoise_reference
from dreamvla_edge.kernels.references import masked_attention as attention_reference
from dreamvla_edge.kernels.references import preprocess as image_reference
from dreamvla_edge.kernels.table import (
    SamplerTable,
    ddim_table,
    dpm_solver_table,
    parallel_ddim_table,
)
from dreamvla_edge.kernels.tolerance import error
from dreamvla_edge.runtime.samplers.named import named

Array = npt.NDArray[Any]
Errors = tuple[float, float]
"""Of the kernel, and of the reference in halves."""

SAMPLERS = ("ddim-1", "ddim-2", "ddim-5", "dpm-2", "dpm-4", "parallel-1", "parallel-3", "student-2")


def attention_case(random: np.random.Generator) -> dict[str, Any]:
    """Arguments of masked attention: any rows and widths, a table in which every row reads."""
    heads, rows = int(random.integers(1, 4)), int(random.integers(1, 100))
    past, fresh = int(random.integers(0, 130)), int(random.integers(1, 100))
    dim = 8 * int(random.integers(1, 17))
    kinds, slots = int(random.integers(1, 6)), int(random.integers(1, 21))
    # A kind of its own that everybody reads, so that no row is without keys; else sparse rules.
    table = [(kind, kinds, -slots, slots) for kind in range(kinds)]
    for _ in range(random.integers(0, 8)):
        first = int(random.integers(-slots, slots))
        last = first + int(random.integers(0, slots))
        table.append((*(int(kind) for kind in random.integers(0, kinds, 2)), first, last))
    key_kind = random.integers(0, kinds, past + fresh)
    key_kind[random.integers(past + fresh)] = kinds
    size = float(random.choice([0.1, 1.0, 4.0]))

    def halves(*shape: int) -> Array:
        return (size * random.standard_normal(shape)).astype(np.float16)

    return {
        "q": halves(heads, rows, dim),
        "past_k": halves(heads, past, dim),
        "past_v": halves(heads, past, dim),
        "k": halves(heads, fresh, dim),
        "v": halves(heads, fresh, dim),
        "row_kind": random.integers(0, kinds, rows).astype(np.int32),
        "row_slot": random.integers(0, slots, rows).astype(np.int32),
        "key_kind": key_kind.astype(np.int32),
        "key_slot": random.integers(0, slots, past + fresh).astype(np.int32),
        "table": np.array(table, np.int32),
        "scale": dim**-0.5,
    }


def attention_errors(device: Device, random: np.random.Generator) -> Errors:
    """Of masked attention in one random case."""
    case = attention_case(random)
    wide = {
        name: value.astype(float) if getattr(value, "dtype", None) == np.float16 else value
        for name, value in case.items()
    }
    wanted = attention_reference.masked_attention(**wide)
    found = attention.AttentionKernel(device, **case)()
    return error(found, wanted), error(attention_reference.masked_attention(**case), wanted)


def random_weights(
    random: np.random.Generator, times: tuple[int, ...], steps: int = 3, most: int = 5
) -> DenoiserWeights:
    """A denoiser of any width that the kernel takes."""
    heads, head = int(random.integers(1, 4)), 16 * int(random.integers(1, most))
    width, hidden = heads * head, 16 * int(random.integers(1, 4 * most))
    features, frequencies = 16 * int(random.integers(1, 3 * most)), 16

    def linear(name: str, outputs: int, inputs: int) -> dict[str, Array]:
        weight = random.standard_normal((outputs, inputs)) / np.sqrt(inputs)
        return {f"{name}.weight": weight, f"{name}.bias": 0.1 * random.standard_normal(outputs)}

    arrays = {
        "positional_embedding": 0.3 * random.standard_normal((2 * steps, width)),
        "z_embedder.uncondition": random.standard_normal((1, features)),
        **linear("z_embedder.linear", width, features),
        **linear("t_embedder.mlp.0", width, frequencies),
        **linear("t_embedder.mlp.2", width, width),
        **linear("x_embedder.linear", width, 7),
        **linear("final_layer.linear", 7, width),
    }
    for i in range(random.integers(1, 3)):
        arrays |= linear(f"blocks.{i}.attn.qkv", 3 * width, width)
        arrays |= linear(f"blocks.{i}.attn.proj", width, width)
        arrays |= linear(f"blocks.{i}.mlp.fc1", hidden, width)
        arrays |= linear(f"blocks.{i}.mlp.fc2", width, hidden)
    single = {name: value.astype(np.float32) for name, value in arrays.items()}
    return denoiser_weights(single, heads, times)


def table_of(name: str, guidance: float) -> tuple[SamplerTable, tuple[int, ...]]:
    """A sampler of the runtime as the kernel takes it, and its grid of times."""
    spec = named(name, guidance)
    if spec.kind == "parallel_ddim":
        table = parallel_ddim_table(spec.alpha_bar, spec.guidance, spec.sweeps)
    else:
        make = {"ddim": ddim_table, "dpm_solver": dpm_solver_table}[spec.kind]
        table = make(spec.alpha_bar, spec.guidance)
    return table, spec.timesteps


def denoise_errors(device: Device, random: np.random.Generator, integers: bool) -> Errors:
    """Of the sampler in one random case, whose weights must be read as often as they should."""
    table, times = table_of(str(random.choice(SAMPLERS)), float(random.choice([1.0, 1.5, 3.0])))
    weights = random_weights(random, times)
    if integers:
        weights = weights.in_int8()
    features = random.standard_normal((3, weights.condition.weight.shape[1])).astype(np.float16)
    noise = random.standard_normal((3, 7)).astype(np.float32)
    wanted = denoise_reference.denoise(weights, table, features.astype(float), noise)
    blocks = min(int(random.integers(1, 7)), device.multiprocessors)
    found = DenoiseKernel(device, weights, table, blocks)(features, noise).actions
    read = getattr(device, "bytes_read_once", None)
    if read is not None and read != weight_bytes(weights, table):
        return float("nan"), 0.0
    halves = denoise_reference.denoise(weights, table, features, noise)
    return error(found, wanted), error(halves, wanted)


def image_case(
    random: np.random.Generator,
) -> tuple[list[Array], list[tuple[images.Resampling, images.Resampling]], Array]:
    """Frames, axes and normalised values: any sizes, flips and crops."""
    size = int(random.integers(8, 48))
    frames, axes = [], []
    for _ in range(2):
        shape = [int(length) for length in random.integers(size // 2 + 1, 90, 2)]
        frames.append(random.integers(0, 256, (*shape, 3), np.uint8))
        crop = [(int(random.integers(0, length // 4 + 1)), length // 2) for length in shape]
        cropped = random.random() < 0.5
        seen = [part[1] for part in crop] if cropped else shape
        short = min(seen)
        lengths = [size * length // short for length in seen] if short != size else seen
        axes.append(
            tuple(
                images.resampling(
                    *(shape[i], crop[i] if cropped else None, bool(random.random() < 0.5)),
                    *(lengths[i], size),
                )
                for i in range(2)
            )
        )
    normal = images.normalised(random.random(3), 0.1 + random.random(3))
    return frames, axes, normal.astype(np.float16)


def image_errors(device: Device, random: np.random.Generator) -> Errors:
    """Of preprocessing in one random case."""
    frames, axes, normal = image_case(random)
    wanted = image_reference.preprocess(frames, axes, normal)  # type: ignore[arg-type]
    return error(images.preprocess(device, frames, axes, normal), wanted), 0.0  # type: ignore[arg-type]


KERNELS: dict[str, Callable[[Device, np.random.Generator], Errors]] = {
    "masked_attention": attention_errors,
    "denoise_half": lambda device, random: denoise_errors(device, random, False),
    "denoise_int8": lambda device, random: denoise_errors(device, random, True),
    "preprocess": image_errors,
}


def main(kernel: str, first: str, end: str) -> None:
    """See the module."""
    device = Emulation(flags=SANITIZED)
    for seed in range(int(first), int(end)):
        found, halves = KERNELS[kernel](device, np.random.default_rng(seed))
        print(json.dumps({"seed": seed, "kernel": found, "halves": halves}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
