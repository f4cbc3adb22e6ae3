"""The synthetic checkpoint and the bundle that a benchmark runs, made once and kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dreamvla_edge.model.config import ModelConfig

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("model", "export")
"""Packages that decide what a checkpoint and its bundle hold."""


def prepared(cache: Path, size: str, progress: Callable[[str], None]) -> tuple[Path, Path]:
    """Checkpoint and bundle of the size `calvin` or `small` in the folder `cache`.

    Made there unless `kept` finds them.
    """
    found = kept(cache, size)
    if found is not None:
        progress(f"using {found[1]}")
        return found
    checkpoint, bundle, note = _paths(cache, size)
    cache.mkdir(parents=True, exist_ok=True)
    note.unlink(missing_ok=True)
    _make(checkpoint, bundle, size, progress)
    note.write_text(_digest())
    return checkpoint, bundle


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
