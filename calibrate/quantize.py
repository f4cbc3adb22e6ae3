"""A bundle with some subgraphs quantized, from one that is not."""

from __future__ import annotations

import importlib.metadata
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import onnx

from dreamvla_edge.runtime.bundle import Bundle, open_bundle, sha256
from dreamvla_edge.runtime.errors import PlanError
from dreamvla_edge.runtime.manifest import (
    MANIFEST_NAME,
    SCHEMA_VERSION,
    Manifest,
    Quantization,
    SamplerSpec,
    SubgraphSpec,
)
from dreamvla_edge.runtime.place import check_output, place
from dreamvla_edge.runtime.verify import verify

from . import observe
from .layers import layers_of
from .observe import Seen
from .plan import QuantPlan, expanded, require_fit
from .rewrite import FORMS, rewritten
from .weights import load_with_weights
from .work import counted

RANGES = "calibration/activations.npz"
_ROOM = 1.5
"""A quantized subgraph may err so many times as much as here before `verify` calls it damaged:
machines round in other places."""


def watched(plan: QuantPlan) -> tuple[str, ...]:
    """Subgraphs whose activations the plan must know."""
    return tuple(
        name
        for name, choice in plan.subgraphs.items()
        if choice.precision in FORMS and FORMS[choice.precision].activations
    )


def fitted(plan: QuantPlan, bundle: Bundle) -> QuantPlan:
    """The plan, with names for patterns.

    Raises PlanError unless it fits the bundle, which is not quantized yet.
    """
    quantized = bundle.manifest.quantization
    if quantized is not None:
        raise PlanError(
            f"{bundle.path} is quantized already, by the plan {quantized.plan!r}",
            "a bundle as `dreamvla export` writes it",
            "quantize the bundle that this one was made from",
        )
    names = bundle.manifest.subgraphs
    layers = {name: tuple(la.name for la in layers_of(_structure(bundle, name))) for name in names}
    plan = expanded(plan, names)
    require_fit(plan, sha256(bundle.file(MANIFEST_NAME)), layers)
    return plan


def quantize(
    bundle: Bundle,
    plan: QuantPlan,
    seen: Seen,
    output: Path,
    *,
    sampler: SamplerSpec | None = None,
    dreams: bool = True,
    force: bool = False,
    progress: Callable[[str], None] = lambda line: None,
) -> Bundle:
    """Write the bundle `output`; the other one stays as it is.

    seen: activations of the subgraphs in `watched`; sampler: instead of the bundle's own; dreams:
    whether the new bundle can dream, which acting does not need. Golden data stays that of the
    network in float32: a subgraph's tolerance is what it errs there, with some room. Raises
    OutputError and PlanError.
    """
    check_output(output, force)
    plan = fitted(plan, bundle)
    manifest = bundle.manifest
    left_out = {n for n in manifest.subgraphs if n.startswith("dream_") and not dreams}
    without = {file for name in left_out for file in manifest.subgraphs[name].files}
    with place(output, force) as folder:
        for name in manifest.files.keys() - without:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(bundle.file(name), folder / name)
        specs = {n: spec for n, spec in manifest.subgraphs.items() if n not in left_out}
        for name, choice in plan.subgraphs.items():
            if name in left_out:
                continue
            progress(f"quantizing {name}")
            changed = rewritten(load_with_weights(bundle.model(name)), choice, seen.get(name, {}))
            files = _save(changed, name, folder, specs)
            specs[name] = msgspec.structs.replace(
                specs[name],
                precision=choice.precision,
                files=files,
                work=counted(folder / files[0], manifest.network, name),
            )
        (folder / RANGES).parent.mkdir(exist_ok=True)
        observe.save(seen, folder / RANGES)
        made = msgspec.structs.replace(
            manifest,
            schema_version=SCHEMA_VERSION,
            sampler=manifest.sampler and (sampler or manifest.sampler),
            subgraphs=specs,
            quantization=Quantization(
                plan=plan.name,
                choices=msgspec.to_builtins(plan.subgraphs),
                source=sha256(bundle.file(MANIFEST_NAME)),
            ),
            versions=manifest.versions
            | {name: importlib.metadata.version(name) for name in ("dreamvla-edge", "onnx")},
        )
        made = _written(made, folder)
        progress("measuring what it errs")
        _written(_tolerant(made, folder), folder)
    return open_bundle(output)


def accepted(bundle: Bundle, results: Mapping[str, float | int | str]) -> Bundle:
    """The bundle, which now says which acceptance it passed, with the numbers."""
    quantized = bundle.manifest.quantization
    assert quantized is not None
    made = msgspec.structs.replace(
        bundle.manifest,
        quantization=msgspec.structs.replace(quantized, acceptance=dict(results)),
    )
    return Bundle(bundle.path, _written(made, bundle.path))


def _structure(bundle: Bundle, name: str) -> onnx.ModelProto:
    return onnx.load(bundle.model(name), load_external_data=False)


def _save(
    model: onnx.ModelProto, name: str, folder: Path, specs: Mapping[str, SubgraphSpec]
) -> tuple[str, ...]:
    for old in specs[name].files:
        (folder / old).unlink()
    files = f"{name}.onnx", f"{name}.onnx.data"
    onnx.save_model(
        *(model, folder / files[0]),
        save_as_external_data=True,
        location=files[1],
        size_threshold=256,
    )
    return tuple(file for file in files if (folder / file).exists())


def _written(manifest: Manifest, folder: Path) -> Manifest:
    """Writes the manifest with the hashes of all files as they are now."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST_NAME)
    hashes = {str(path.relative_to(folder)): sha256(path) for path in files}
    made = msgspec.structs.replace(manifest, files=hashes)
    partial = folder / f".{MANIFEST_NAME}.partial"
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(made), indent=1))
    partial.replace(folder / MANIFEST_NAME)
    return made


def _tolerant(manifest: Manifest, folder: Path) -> Manifest:
    """With tolerances that what is erred here is within; dreams err with the backbone."""
    worst: dict[str, float] = {}
    for stage in verify(open_bundle(folder)):
        worst[stage.name] = max(worst.get(stage.name, 0.0), stage.error)
    specs = {
        name: msgspec.structs.replace(spec, tolerance=_ROOM * worst[name])
        if worst.get(name, 0.0) > spec.tolerance
        else spec
        for name, spec in manifest.subgraphs.items()
    }
    return msgspec.structs.replace(manifest, subgraphs=specs)
