"""Where TensorRT's engines lie, and what an engine is only good for."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from dreamvla_edge.runtime.manifest import MANIFEST_NAME

PLUGIN_LIBRARY = "masked_attention.so"
"""The plugin beside the engines that need it."""
DENOISER = "denoise.npz"
"""Weights for the sampler's kernel, beside the denoiser's engine."""


@dataclass(frozen=True)
class EngineKey:
    """What an engine depends on beside its subgraph.

    bundle: sha256 of the bundle's manifest, which names the hash of every file; tensorrt: its
    version; architecture: `sm_87`; multiprocessors: power modes switch some off; power_mode: as
    nvpmodel calls it, empty where there is none; plugin: sha256 of the source of our plugin, empty
    where attention is TensorRT's own.
    """

    bundle: str
    tensorrt: str
    architecture: str
    multiprocessors: int
    power_mode: str
    plugin: str = ""

    @property
    def sha256(self) -> str:
        """Of everything above."""
        return hashlib.sha256(repr(asdict(self)).encode()).hexdigest()


def engine_key(
    bundle: Path, tensorrt: str, architecture: str, multiprocessors: int, plugin: str = ""
) -> EngineKey:
    """Of the bundle in a directory, here and now."""
    manifest = hashlib.sha256((bundle / MANIFEST_NAME).read_bytes()).hexdigest()
    return EngineKey(manifest, tensorrt, architecture, multiprocessors, power_mode(), plugin)


def engine_folder(key: EngineKey) -> Path:
    """Where the engines of a key lie, in $DREAMVLA_ENGINES or the user's cache."""
    base = os.environ.get("DREAMVLA_ENGINES")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (Path(base) if base else cache / "dreamvla-edge" / "engines") / key.sha256[:16]


def power_mode() -> str:
    """The Jetson's power mode by its name, empty on other machines."""
    nvpmodel = shutil.which("nvpmodel")
    if nvpmodel is None:
        return ""
    told = subprocess.run([nvpmodel, "-q"], capture_output=True, text=True).stdout
    return power_mode_of(told)


def power_mode_of(told: str) -> str:
    """The name in what `nvpmodel -q` prints."""
    found = re.search(r"NV Power Mode: *(\S+)", told)
    return found[1] if found else ""
