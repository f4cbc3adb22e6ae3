"""The contracts of `bundle.json`."""

from __future__ import annotations

import hashlib
import math
from itertools import pairwise
from typing import Any, Literal

import msgspec

from .preprocess import Preprocessing
from .specification import Contract, Specification
from .work import Work

SCHEMA_VERSION = 2
"""Version of the bundle that this code writes; it opens this one and the one before.

2: subgraphs have `work`; 1 had only `gflop`.
"""

MANIFEST_NAME = "bundle.json"


class TensorSpec(Contract, frozen=True):
    """One input or output: a length is a number, or a name when it varies from call to call."""

    name: str
    dtype: Literal["float32", "int32"]
    shape: tuple[int | str, ...]


class SubgraphSpec(Contract, frozen=True, omit_defaults=True):
    """One ONNX file.

    files: the model first, then its external data; tolerance: largest error allowed to the
    PyTorch network, relative to the largest magnitude of the output; gflop: work of each use of
    the subgraph (2 per multiply-add of matrix products); work: what each use does, counted from
    the graph, empty in a bundle of schema version 1.
    """

    files: tuple[str, ...]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    precision: Literal["fp32", "fp16", "int8", "uint8", "fp8", "w8", "w4"]
    tolerance: float
    gflop: dict[str, float]
    work: dict[str, Work] = {}


class DreamSpec(Contract, frozen=True):
    """One dream head: `tokens` predictions of `channels` numbers for each camera."""

    name: str
    tokens: int
    channels: int


class NetworkSpec(Contract, frozen=True):
    """What the runtime must know of the network.

    window: observations S; layers, heads, head_width: of the backbone; kinds: names of the token
    kinds; step_kinds: kind of each of one step's A + Q + P tokens; mask: rows (reader kind, read
    kind, first, last), see `model/mask.py`; slots_ahead: slots after the newest that the dream
    queries look at (goal attention).
    """

    window: int
    width: int
    layers: int
    heads: int
    head_width: int
    kinds: tuple[str, ...]
    step_kinds: tuple[int, ...]
    mask: tuple[tuple[int, int, int, int], ...]
    slots_ahead: int
    vision_rows: int
    dream_rows: int
    action_steps: int
    action_head: Literal["dit", "mlp"]
    dreams: tuple[DreamSpec, ...]

    def __post_init__(self) -> None:
        kinds = range(len(self.kinds))
        rows = self.context_rows
        _require(self.window >= 1 and self.slots_ahead >= 0, "window or slots_ahead")
        _require(self.heads * self.head_width == self.width, "heads times head_width is not width")
        _require(self.layers >= 1 and self.action_steps >= 1, "layers or action_steps")
        _require(rows == self.vision_rows + 2, "step_kinds do not fit the numbers of rows")
        codes = {*self.step_kinds, *(kind for row in self.mask for kind in row[:2])}
        _require(codes <= set(kinds), "a kind of token that has no name")

    @property
    def context_rows(self) -> int:
        """A: tokens of one step that later steps may read."""
        return len(self.step_kinds) - self.dream_rows - self.action_steps

    @property
    def query_rows(self) -> int:
        """Q + P: dream and action queries of one step."""
        return self.dream_rows + self.action_steps


class SamplerSpec(Contract, frozen=True, omit_defaults=True):
    """How actions are sampled from noise (`samplers/`).

    timesteps: descending grid of diffusion times; alpha_bar: signal level ᾱ at each;
    guidance: scale of classifier-free guidance; sweeps: of `parallel_ddim`, after the first
    prediction. None of the following is the released way, in which no control step knows of the
    one before: warm_time: of the grid, where a step that follows another begins from its actions;
    warm_sweeps: how many follow the predictions of the step before, whose noise is kept.
    """

    kind: Literal["ddim", "dpm_solver", "parallel_ddim"]
    timesteps: tuple[int, ...]
    alpha_bar: tuple[float, ...]
    guidance: float
    sweeps: int = 0
    warm_time: int | None = None
    warm_sweeps: int | None = None

    def __post_init__(self) -> None:
        times, levels = self.timesteps, self.alpha_bar
        _require(0 < len(times) == len(levels), "timesteps and alpha_bar differ in length")
        falling = all(earlier > later for earlier, later in pairwise(times))
        _require(falling and times[-1] >= 0, "timesteps do not fall to zero or above")
        _require(all(0 < level <= 1 for level in levels), "an alpha_bar outside 0 to 1")
        _require(math.isfinite(self.guidance) and self.guidance >= 0, "guidance below zero")
        parallel = self.kind == "parallel_ddim"
        _require((self.sweeps > 0) == parallel, "sweeps are of parallel_ddim, at least one")
        _require(self.warm_time is None or not parallel, "a warm_time of parallel_ddim")
        _require(self.warm_time in (None, *times), "a warm_time that is no time of the grid")
        _require(self.warm_sweeps is None or parallel, "warm_sweeps are of parallel_ddim alone")
        _require(self.warm_sweeps is None or self.warm_sweeps > 0, "warm_sweeps below one")
        if self.kind != "ddim":
            _require(all(level < 1 for level in levels), "no noise at a time of the grid")


class Quantization(Contract, frozen=True, omit_defaults=True):
    """How a bundle was made from one in float32.

    plan: its name; choices: what it says of each subgraph; source: sha256 of the other bundle's
    manifest; acceptance: which one was passed, with its numbers, None if none was.
    """

    plan: str
    choices: dict[str, dict[str, Any]]
    source: str
    acceptance: dict[str, float | int | str] | None = None


class Manifest(Contract, frozen=True, omit_defaults=True):
    """The whole `bundle.json`.

    files: sha256 of every other file of the bundle; source_sha256: of the checkpoint;
    versions: of the programs that wrote the bundle; quantization: None for a bundle as exported.
    """

    schema_version: int
    name: str
    network: NetworkSpec
    specification: Specification
    preprocessing: Preprocessing
    sampler: SamplerSpec | None
    subgraphs: dict[str, SubgraphSpec]
    files: dict[str, str]
    source_sha256: str
    versions: dict[str, str]
    quantization: Quantization | None = None


def contract_sha256(
    network: NetworkSpec, specification: Specification, preprocessing: Preprocessing
) -> str:
    """Hash of what decides how the arm moves.

    `golden.npz` holds it too, so that a changed byte in `bundle.json`, which no hash covers, is
    noticed there.
    """
    return hashlib.sha256(msgspec.json.encode((network, specification, preprocessing))).hexdigest()


def recipe_sha256(manifest: Manifest) -> str:
    """Hash of a plan's choices and of the sampler.

    Equal in two bundles, of whatever networks, that are quantized and sample alike.
    """
    choices = manifest.quantization.choices if manifest.quantization else {}
    return hashlib.sha256(msgspec.json.encode((choices, manifest.sampler))).hexdigest()


def _require(condition: bool, wrong: str) -> None:
    if not condition:
        raise ValueError(wrong)
