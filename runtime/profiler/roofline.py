"""The least time that each stage of a step can take on a machine: its floor.

Roofline model (Williams, Waterman, Patterson, CACM 52(4), 2009) at the level of a stage: products
at the machine's peak for their number formats, or bytes at its bandwidth, whichever takes longer.
Of the bytes only weights and the keys and values of earlier steps count, and of those only what
cannot be in the last level of cache already; everything else may stay on the chip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from dreamvla_edge.runtime.bundle import Bundle
from dreamvla_edge.runtime.errors import BoardError, BundleError
from dreamvla_edge.runtime.manifest import Manifest, SamplerSpec
from dreamvla_edge.runtime.work import Work, batched

ACTION = "observation to action"
"""vision, embed, step and sampler, one after the other."""
WHOLE = "whole step"
"""The same and prefill, which runs after the action and must end before the next frame."""


@dataclass(frozen=True)
class Roof:
    """What one machine can do at most.

    operations_per_s: by number format; bytes_per_s: from memory; cache_bytes: of the last level of
    cache; source: where the figures come from.
    """

    name: str
    mode: str
    operations_per_s: Mapping[str, float]
    bytes_per_s: float
    cache_bytes: float
    source: str


@dataclass(frozen=True)
class Floor:
    """The least time of a stage [s], its work [GFLOP], the bytes that must come from memory [MB],
    and which of the two takes the time; `both` where stages with different bounds are added.
    """

    seconds: float
    gflop: float
    mb: float
    bound_by: Literal["arithmetic", "memory", "both"]

    def __add__(self, other: Floor) -> Floor:
        same = self.bound_by == other.bound_by
        return Floor(
            self.seconds + other.seconds,
            self.gflop + other.gflop,
            self.mb + other.mb,
            self.bound_by if same else "both",
        )


class Runs(NamedTuple):
    """One kind of work, so many times in a row."""

    work: Work
    times: int = 1


Stage = tuple[Runs, ...]


def floors(bundle: Bundle, roof: Roof, sampler: SamplerSpec | None = None) -> dict[str, Floor]:
    """Floors of all stages, of `ACTION` and of `WHOLE`.

    sampler: instead of the bundle's own. Raises BundleError if the bundle's work was not counted,
    and BoardError if the machine does not know one of its number formats.
    """
    return floors_of(stages(bundle.manifest, sampler), roof)


def floors_of(work: Mapping[str, Stage], roof: Roof) -> dict[str, Floor]:
    """As `floors`, for the work of stages. Raises BoardError."""
    found = {name: _sum([_floor(runs, roof) for runs in stage]) for name, stage in work.items()}
    return with_sums(found)


def with_sums(found: dict[str, Floor]) -> dict[str, Floor]:
    """With the sums `ACTION` and `WHOLE`."""
    action = _sum([floor for name, floor in found.items() if name != "prefill"])
    whole = action + found["prefill"] if "prefill" in found else action
    return {**found, ACTION: action, WHOLE: whole}


def stages(manifest: Manifest, sampler: SamplerSpec | None = None) -> dict[str, Stage]:
    """What each stage of a step runs once the window is full, by the stage's name.

    `sampler` is the MLP head where there is one. Raises BundleError if the bundle was written
    before work was counted.
    """
    network = manifest.network
    used = [("vision", "vision", "frame"), ("embed", "embed", "step"), ("step", "backbone", "step")]
    if network.window > 1:
        used.append(("prefill", "backbone", "prefill"))
    found: dict[str, Stage] = {
        stage: (Runs(_work(manifest, name, use)),) for stage, name, use in used
    }
    if manifest.sampler is None:
        found["sampler"] = (Runs(_work(manifest, "head", "step")),)
    else:
        found["sampler"] = _sampled(manifest, sampler or manifest.sampler)
    return found


def _sampled(manifest: Manifest, spec: SamplerSpec) -> Stage:
    """The denoiser's runs in a control step that follows another."""
    one, times = _work(manifest, "denoise", "evaluation"), len(spec.timesteps)
    if spec.kind != "parallel_ddim":
        first = 0 if spec.warm_time is None else spec.timesteps.index(spec.warm_time)
        return (Runs(one, times - first),)
    # Each sweep leaves out the times that are exact already: `samplers/parallel_ddim.py`.
    if spec.warm_sweeps is not None:
        return tuple(Runs(batched(one, times - i)) for i in range(min(spec.warm_sweeps, times)))
    sweeps = range(1, min(spec.sweeps, times - 1) + 1)
    return Runs(one), *(Runs(batched(one, times - i)) for i in sweeps)


def _work(manifest: Manifest, name: str, use: str) -> Work:
    found = manifest.subgraphs[name].work.get(use)
    if found is None:
        version = manifest.versions.get("dreamvla-edge", "an earlier version")
        raise BundleError(
            f"the bundle {manifest.name} does not say what {name} works, being of schema version"
            f" {manifest.schema_version} (dreamvla-edge {version})",
            "a bundle of schema version 2 or later",
            "export the checkpoint again, and quantize again if it was quantized",
        )
    return found


def _floor(runs: Runs, roof: Roof) -> Floor:
    work, times = runs
    arithmetic = 0.0
    for name, operations in work.operations.items():
        if name not in roof.operations_per_s:
            raise BoardError(
                f"products in {name} on {roof.name}",
                "one of " + ", ".join(roof.operations_per_s),
                "quantize with a preset that is made for this board",
            )
        arithmetic += operations / roof.operations_per_s[name]
    needed = max(0.0, (work.weight_mb + work.cache_mb) * 1e6 - roof.cache_bytes)
    memory = needed / roof.bytes_per_s
    return Floor(
        times * max(arithmetic, memory),
        times * work.gflop,
        times * needed / 1e6,
        "arithmetic" if arithmetic >= memory else "memory",
    )


def _sum(parts: list[Floor]) -> Floor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
