"""Full-size subgraphs as TensorRT builds them: they are taken, and 8 bits are half of 16."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

import numpy as np
import pytest

from bundles import Bundles
from dreamvla_edge.calibrate.data import Moment
from dreamvla_edge.calibrate.observe import Seen, observe
from dreamvla_edge.calibrate.plan import Choice, QuantPlan
from dreamvla_edge.calibrate.quantize import quantize
from dreamvla_edge.export.tensorrt import rtx
from dreamvla_edge.runtime.backends.shapes import shapes
from dreamvla_edge.runtime.bundle import Bundle

NAMES = ("vision", "backbone", "denoise")
LARGEST_SHARE = 0.6
"""Of an engine's size in halves: its weights are half as many bytes, its code is the same."""


def seen_of(bundle: Bundle) -> Seen:
    """Activations of two steps on noise: sizes do not depend on ranges."""
    random = np.random.default_rng(0)
    specification = bundle.manifest.specification
    moments = (
        Moment(
            *("push the blue block", not step),
            *(random.integers(0, 256, (c.height, c.width, 3), np.uint8) for c in cameras),
            random.uniform(-1, 1, specification.state.size),
        )
        for step in range(2)
        for cameras in [specification.cameras]
    )
    return observe(bundle, NAMES, moments, 2)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_engines_of_full_size(
    bundles: Bundles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every one in fp16, int8 and w8 is parsed and built; the sizes are printed."""
    bundle = bundles.bundle("calvin")
    seen = seen_of(bundle)
    sizes: dict[str, dict[str, int]] = {name: {} for name in NAMES}
    for precision in ("fp16", "int8", "w8"):
        plan = QuantPlan(1, precision, {n: Choice(precision, rest="fp16") for n in NAMES})
        made = quantize(bundle, plan, seen, tmp_path / precision, dreams=False)
        for name in NAMES:
            spec = made.manifest.subgraphs[name]
            uses = shapes(made.manifest.network, name, spec)
            size, refused = rtx.build(str(made.model(name)), uses)
            assert size and not refused, (precision, name, refused)
            sizes[name][precision] = size
        shutil.rmtree(made.path)
    with capsys.disabled():
        print()
        for name, by_precision in sizes.items():
            told = ", ".join(f"{p} {size / 1e6:.1f} MB" for p, size in by_precision.items())
            print(f"{name}: {told}, int8 {by_precision['int8'] / by_precision['fp16']:.3f} of fp16")
    for by_precision in sizes.values():
        for precision in ("int8", "w8"):
            assert by_precision[precision] <= LARGEST_SHARE * by_precision["fp16"]


if platform.machine() != "x86_64":  # the only machine that TensorRT-RTX has wheels for
    del test_engines_of_full_size
