"""The synthetic checkpoint and the bundle that a benchmark runs, made once and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from dreamvla_edge.model.config import ModelConfig

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("model", "export")
"""Packages that decide what a checkpoint and its bundle hold."""


class Changed(NamedTuple):
    """How the policy's bundle differs from the exported one: a plan, and a sampler by its name."""

    preset: str | None = None
    sampler: str | None = None


class Prepared(NamedTuple):
    """A checkpoint, its bundle, and the bundle of the policy that is measured."""

    checkpoint: Path
    bundle: Path
    policy: Path
    change: Changed = Changed()


def prepared(cache: Path, size: str, progress: Callable[[str], None]) -> Prepared:
    """Checkpoint and bundle of the size `calvin` or `small` in the folder `cache`.

    Made there unless `kept` finds them.
    """
    found = kept(cache, size)
    if found is not None:
        progress(f"using {found[1]}")
        return Prepared(*found, found[1])
    checkpoint, bundle, note = _paths(cache, size)
    cache.mkdir(parents=True, exist_ok=True)
    note.unlink(missing_ok=True)
    _make(checkpoint, bundle, size, progress)
    note.write_text(_digest())
    return Prepared(checkpoint, bundle, bundle)


def quantized(
    made: Prepared, change: Changed, output: Path, progress: Callable[[str], None]
) -> Prepared:
    """With a policy whose bundle is changed; always made anew, in `output`.

    Calibrated on the benchmark's own observations: with random weights any will do.
    """
    from dreamvla_edge.calibrate.data import Moment
    from dreamvla_edge.calibrate.observe import observe
    from dreamvla_edge.calibrate.plan import PLAN_VERSION, QuantPlan, load_plan
    from dreamvla_edge.calibrate.quantize import quantize, watched
    from dreamvla_edge.runtime.bundle import open_bundle
    from dreamvla_edge.runtime.samplers.named import replacement
    from observations import INSTRUCTION, observation

    opened = open_bundle(made.bundle)
    plan = load_plan(change.preset) if change.preset else QuantPlan(PLAN_VERSION, "none", {})
    count = opened.manifest.network.window + 2
    seen = (observation(opened.manifest, step) for step in range(count))
    moments = (
        Moment(INSTRUCTION, number == 0, one.primary, one.wrist, one.state)
        for number, one in enumerate(seen)
    )
    progress(f"observing {made.bundle}")
    activations = observe(opened, watched(plan), moments, count)
    sampler = replacement(opened.manifest, change.sampler)
    quantize(
        *(opened, plan, activations, output),
        sampler=sampler,
        force=output.exists(),
        progress=progress,
    )
    return made._replace(policy=output, change=change)


def kept(cache: Path, size: str) -> tuple[Path, Path] | None:
    """Checkpoint and bundle of an earlier run.

    None unless their hashes hold and the sources that wrote them are the same.
    """
    checkpoint, bundle, note = _paths(cache, size)
    if note.is_file() and note.read_text() == _digest() and _belong(checkpoint, bundle):
        return checkpoint, bundle
    return None


def _paths(cache: Path, size: str) -> tuple[Path, Path, Path]:
    return cache / f"{size}.pt", cache / f"{size}.bundle", cache / f"{size}.sources"


def _digest() -> str:
    """Of every source file of `SOURCES`."""
    digest = hashlib.sha256()
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _belong(checkpoint: Path, bundle: Path) -> bool:
    """Whether both are whole and the bundle was made from this checkpoint."""
    from dreamvla_edge.runtime.bundle import open_bundle, sha256
    from dreamvla_edge.runtime.errors import BundleError

    try:
        source = open_bundle(bundle).manifest.source_sha256
    except BundleError:
        return False
    return checkpoint.is_file() and sha256(checkpoint) == source


def _make(checkpoint: Path, bundle: Path, size: str, progress: Callable[[str], None]) -> None:
    from dreamvla_edge.export.data_set import load_data_set
    from dreamvla_edge.export.export import export
    from dreamvla_edge.model.synthetic import CALVIN, write_checkpoint

    progress(f"writing the synthetic checkpoint {checkpoint}")
    write_checkpoint(checkpoint, CALVIN if size == "calvin" else _small(CALVIN))
    old = bundle.is_dir()
    export(checkpoint, bundle, load_data_set("calvin"), force=old, progress=progress)


def _small(config: ModelConfig) -> ModelConfig:
    """The same structure with narrow towers of one or two layers, made and run in seconds."""
    tower = replace(config.vision, width=64, layers=1, heads=1, hidden=128)
    return replace(
        config,
        backbone=replace(config.backbone, width=128, layers=2, hidden=256),
        vision=tower,
        text=tower,
        text_width=64,
        resampler=replace(config.resampler, layers=1, heads=1, hidden=128),
        dreams=(replace(config.dreams[0], channels=64, layers=1),),
        denoiser=tower,
    )
