"""The work of a network by formulas from its configuration, without a graph.

They check what `calibrate/work.py` counts, and say what a network that nobody has exported will
cost. D is the backbone's width, d a tower's, r its rows; a linear of i inputs and o outputs is the
product (r, i) · (i, o), attention two products for each head. Left out are norms, biases, GELU and
softmax, less than 2 % of the arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator

from dreamvla_edge.model.config import DreamHeadConfig, ModelConfig, TowerConfig
from dreamvla_edge.model.denoiser import ACTION_VALUES, ARM_VALUES
from dreamvla_edge.model.dream import SHARED_PARTS
from dreamvla_edge.runtime.profiler.roofline import Runs, Stage
from dreamvla_edge.runtime.work import Product, Work

_CAMERAS = _BRANCHES = 2


def closed_form(config: ModelConfig) -> dict[str, dict[str, Work]]:
    """Work of each use of each subgraph, in float32, without kernels and activations."""
    found = {
        "text": {"instruction": _work(_text(config))},
        "vision": {"frame": _work(_vision(config))},
        "embed": {"step": _work(_embed(config))},
        "backbone": {
            use: _work(_backbone(config, *sizes), cached=_cached(config, sizes[1]))
            for use, sizes in _uses(config).items()
        },
        **{f"dream_{h.name}": {"request": _work(_dream(config, h))} for h in config.dreams},
    }
    if config.action_head == "mlp":
        return found | {"head": {"step": _work(_head(config))}}
    return found | {"denoise": {"evaluation": _work(_denoise(config))}}


def closed_stages(config: ModelConfig) -> dict[str, Stage]:
    """As `runtime.profiler.roofline.stages`, for the released sampler."""
    work = closed_form(config)
    denoise = work.get("denoise")
    sampler = (
        Runs(denoise["evaluation"], config.sampler_steps) if denoise else Runs(work["head"]["step"])
    )
    return {
        "vision": (Runs(work["vision"]["frame"]),),
        "embed": (Runs(work["embed"]["step"]),),
        "step": (Runs(work["backbone"]["step"]),),
        "prefill": (Runs(work["backbone"]["prefill"]),),
        "sampler": (sampler,),
    }


_Shape = tuple[int, int, int, int]
"""Rows, inner, columns, and how many."""


def _work(shapes: Iterator[tuple[_Shape, bool]], cached: int = 0) -> Work:
    """From products and whether each has weights; cached: numbers of keys and values read."""
    products = tuple(
        Product(*shape, format="fp32", weights="fp32" if weights else None)
        for shape, weights in shapes
        if min(shape) > 0
    )
    stored = sum(product.weight_bytes for product in products) / 1e6
    return Work(products, stored, 4e-6 * cached, activation_mb=0.0, kernels=len(products))


def _linear(rows: int, inner: int, columns: int, count: int = 1) -> tuple[_Shape, bool]:
    return (rows, inner, columns, count), True


def _attention(
    readers: int, read: int, head_width: int, count: int
) -> Iterator[tuple[_Shape, bool]]:
    """Scores and their use: 4 · readers · read · head_width operations for each of `count`."""
    yield (readers, head_width, read, count), False
    yield (readers, read, head_width, count), False


def _blocks(tower: TowerConfig, rows: int, sequences: int) -> Iterator[tuple[_Shape, bool]]:
    """A tower's layers over `sequences` of `rows` rows: r · 12 d² multiply-adds where the MLP is
    four times as wide, and attention of all rows to all.
    """
    d, all_rows = tower.width, rows * sequences
    for inner, columns in ((d, 3 * d), (d, d), (d, tower.hidden), (tower.hidden, d)):
        yield _linear(all_rows, inner, columns, tower.layers)
    yield from _attention(rows, rows, d // tower.heads, sequences * tower.heads * tower.layers)


def _text(config: ModelConfig) -> Iterator[tuple[_Shape, bool]]:
    yield from _blocks(config.text, config.context, 1)
    yield _linear(1, config.text.width, config.text_width)
    yield _linear(1, config.text_width, config.backbone.width)


def _vision(config: ModelConfig) -> Iterator[tuple[_Shape, bool]]:
    """Both cameras. The resampler's first queries follow from its latents: constants."""
    n, d, width = _CAMERAS, config.vision.width, config.backbone.width
    patches, part = (config.image_size // config.patch) ** 2, config.resampler
    yield _linear(n * patches, 3 * config.patch**2, d)
    yield from _blocks(config.vision, patches + 1, n)
    m, e = part.latents, part.heads * part.head_width
    yield _linear(n * m, d, e, part.layers - 1)
    yield _linear(n * (patches + m), d, 2 * e, part.layers)
    yield _linear(n * m, e, d, part.layers)
    yield _linear(n * m, d, part.hidden, part.layers)
    yield _linear(n * m, part.hidden, d, part.layers)
    yield from _attention(m, patches + m, part.head_width, n * part.heads * part.layers)
    yield _linear(m, d, width, n)
    yield _linear(1, d, width, n)


def _embed(config: ModelConfig) -> Iterator[tuple[_Shape, bool]]:
    width = config.backbone.width
    for inner in (ARM_VALUES, 2, 2 * width):
        yield _linear(1, inner, width)


def _uses(config: ModelConfig) -> dict[str, tuple[int, int, int]]:
    """Rows, rows of keys and values before them, rows that are read."""
    a, slots = config.context_rows, config.window - 1
    return {
        "fill": (config.step_rows, a * (slots // 2), config.action_steps),
        "prefill": (a * slots, 0, 1),
        "step": (config.step_rows, a * slots, config.action_steps),
    }


def _cached(config: ModelConfig, rows: int) -> int:
    """Keys and values of so many rows in all layers."""
    return 2 * config.backbone.layers * config.backbone.width * rows


def _backbone(
    config: ModelConfig, rows: int, past: int, read: int
) -> Iterator[tuple[_Shape, bool]]:
    """All layers but the last for all rows; that one's keys and values for all, the rest of it for
    those that are read. Every row is compared with every key, read or not, as dense kernels do.
    """
    tower = config.backbone
    d, hidden, head_width = tower.width, tower.hidden, tower.width // tower.heads
    before = tower.layers - 1
    for inner, columns in ((d, 3 * d), (d, d), (d, hidden), (hidden, d)):
        yield _linear(rows, inner, columns, before)
    yield from _attention(rows, past + rows, head_width, tower.heads * before)
    yield _linear(rows, d, 2 * d)
    for inner, columns in ((d, d), (d, d), (d, hidden), (hidden, d)):
        yield _linear(read, inner, columns)
    yield from _attention(read, past + rows, head_width, tower.heads)


def _denoise(config: ModelConfig) -> Iterator[tuple[_Shape, bool]]:
    """One time, with and without the condition."""
    tower, rows = config.denoiser, _BRANCHES * config.action_steps
    assert tower is not None
    yield _linear(_BRANCHES, config.frequencies, tower.width)
    yield _linear(_BRANCHES, tower.width, tower.width)
    yield _linear(rows, config.backbone.width, tower.width)
    yield _linear(rows, ACTION_VALUES, tower.width)
    yield from _blocks(tower, 2 * config.action_steps, _BRANCHES)
    yield _linear(rows, tower.width, ACTION_VALUES)


def _head(config: ModelConfig) -> Iterator[tuple[_Shape, bool]]:
    rows, width = config.action_steps, config.backbone.width
    hidden = width // 2
    for columns, inner in ((hidden, width), (hidden, hidden), (ARM_VALUES, hidden), (1, hidden)):
        yield _linear(rows, inner, columns)


def _dream(config: ModelConfig, head: DreamHeadConfig) -> Iterator[tuple[_Shape, bool]]:
    """Queries of both cameras, then a small tower over them and the blanks."""
    width, n = config.backbone.width, _CAMERAS
    rows = config.queries_per_image
    yield _linear(n * rows, width // SHARED_PARTS if config.shared_queries else width, width)
    yield from _blocks(
        TowerConfig(width, head.layers, head.heads, 4 * width), rows + head.tokens, n
    )
    yield _linear(n * head.tokens, width, head.channels)
