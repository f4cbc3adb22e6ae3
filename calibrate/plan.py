"""Which layers of which subgraphs are computed how."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import msgspec

from dreamvla_edge.runtime.errors import PlanError
from dreamvla_edge.runtime.specification import Contract

PLAN_VERSION = 1
PRESETS = Path(__file__).parent / "presets"
Precision = Literal["fp32", "fp16", "int8", "uint8", "fp8", "w8", "w4"]
"""`fp16`: weights and products. `int8`: weights and activations, both symmetric, as TensorRT fuses
them. `uint8`: unsigned activations and weights of 7 bits, whose sums no AVX2 machine can saturate.
`fp8`: E4M3, for Thor; a CPU computes it in float32. `w8`, `w4`: weights alone, the latter in blocks
of 32."""
Observer = Literal["min-max", "percentile", "mse"]


class Choice(Contract, frozen=True):
    """How one subgraph's matrix products are computed.

    keep: layers that stay as they are, by names in which * stands for anything; observer: how
    the range of an activation is found; percentile: of that observer, of each tail together [%];
    rest: in what everything else is computed; TensorRT takes a graph literally, so for it that is
    fp16 too; smooth: how much of the range of a normalised activation moves into the weights
    (SmoothQuant, arXiv 2211.10438, equation 4), 0 for nothing.
    """

    precision: Precision
    keep: tuple[str, ...] = ()
    observer: Observer = "mse"
    percentile: float = 99.99
    smooth: float = 0.0
    rest: Literal["fp32", "fp16"] = "fp32"

    def __post_init__(self) -> None:
        if not 50 < self.percentile <= 100:
            raise ValueError("percentile must be above 50 and at most 100")
        if not 0 <= self.smooth <= 1:
            raise ValueError("smooth must be between 0 and 1")

    def keeps(self, layer: str) -> bool:
        """Whether a layer stays as it is."""
        return any(fnmatchcase(layer, pattern) for pattern in self.keep)


class QuantPlan(Contract, frozen=True):
    """The whole plan; a subgraph that it does not name stays as it is.

    subgraphs: by name, or by a pattern in which * stands for anything, which may match none;
    bundle: sha256 of the manifest that it was made for, empty for any.
    """

    version: int
    name: str
    subgraphs: dict[str, Choice]
    bundle: str = ""

    def __post_init__(self) -> None:
        if self.version != PLAN_VERSION:
            raise ValueError(f"version {self.version}; this program knows {PLAN_VERSION}")


def load_plan(name: str) -> QuantPlan:
    """A preset by its name, or a plan from a file. Raises PlanError."""
    preset = PRESETS / f"{name}.toml"
    path = preset if preset.exists() else Path(name)
    try:
        return msgspec.toml.decode(path.read_bytes(), type=QuantPlan)
    except FileNotFoundError:
        raise PlanError(
            f"no plan {name}",
            "a file, or one of " + ", ".join(sorted(p.stem for p in PRESETS.glob("*.toml"))),
            "name one of them",
        ) from None
    except (OSError, ValueError, msgspec.DecodeError) as error:
        raise PlanError(
            f"{path} is no plan ({error})",
            f"a plan of version {PLAN_VERSION}",
            f"begin with one of {PRESETS}",
        ) from error


def expanded(plan: QuantPlan, names: Iterable[str]) -> QuantPlan:
    """The plan with these subgraphs instead of patterns that match them; exact names go first."""
    found = {name: choice for name, choice in plan.subgraphs.items() if "*" not in name}
    for name in names:
        for pattern, choice in plan.subgraphs.items():
            if name not in found and fnmatchcase(name, pattern):
                found[name] = choice
    return msgspec.structs.replace(plan, subgraphs=found)


def require_fit(plan: QuantPlan, bundle_sha256: str, layers: dict[str, tuple[str, ...]]) -> None:
    """Raises PlanError unless the plan is for this bundle and names what is there.

    layers: names of the layers of each subgraph.
    """
    if plan.bundle not in ("", bundle_sha256):
        raise PlanError(
            f"the plan {plan.name} was made for the bundle {plan.bundle[:16]}…",
            f"one for {bundle_sha256[:16]}…",
            "make a plan for this bundle, or take `bundle` out of the file",
        )
    for subgraph, choice in plan.subgraphs.items():
        if subgraph not in layers:
            raise PlanError(
                f"the plan {plan.name} names the subgraph {subgraph!r}",
                "one of " + ", ".join(layers),
                "take it out of the plan",
            )
        for pattern in choice.keep:
            if not any(fnmatchcase(layer, pattern) for layer in layers[subgraph]):
                raise PlanError(
                    f"the plan {plan.name} keeps {pattern!r}, which is no layer of {subgraph}",
                    "one of " + ", ".join(layers[subgraph][:8]) + ", …",
                    "correct the name or take it out of the plan",
                )
