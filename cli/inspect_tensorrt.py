"""`dreamvla inspect --tensorrt`: whether a TensorRT version will take a bundle."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamvla_edge.runtime.errors import BackendError

if TYPE_CHECKING:
    from dreamvla_edge.runtime.bundle import Bundle

    from .report import Report


def check(bundle: Bundle, version: str, report: Report) -> None:
    """Shows all subgraphs against the rules of a version, and TensorRT-RTX's word if it is here.

    Raises BackendError if a rule is broken or TensorRT-RTX refuses.
    """
    import onnx

    from dreamvla_edge.calibrate.weights import load_with_weights
    from dreamvla_edge.export.tensorrt import rtx
    from dreamvla_edge.export.tensorrt.form import inlined
    from dreamvla_edge.export.tensorrt.rules import VERSIONS, findings
    from dreamvla_edge.runtime.backends.shapes import shapes

    report.text(f"\nTensorRT {version} ({VERSIONS[version].jetpack}), functions inlined")
    document: dict[str, Any] = {}
    rows, wrong = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name, spec in bundle.manifest.subgraphs.items():
            report.progress(f"checking {name}")
            model = inlined(load_with_weights(bundle.model(name)))
            found = findings(model, version)
            entry: dict[str, Any] = {"findings": [vars(finding) for finding in found]}
            told = "takes it" if not found else f"{len(found)} rules broken"
            if rtx.available():
                path = Path(folder) / "model.onnx"
                path.unlink(missing_ok=True)
                onnx.save(model, path)
                stand_in = rtx.stand_in(spec.precision)
                size, refused = rtx.build(
                    str(path), shapes(bundle.manifest.network, name, spec), stand_in
                )
                entry |= {"stand_in": stand_in, "engine_bytes": size}
                entry["refused"] = [vars(refusal) for refusal in refused]
                told += f"; TensorRT-RTX for {stand_in}: "
                told += f"{size / 1e6:.1f} MB" if size else refused[0].reason
                wrong += [f"{name} {refusal.node}: {refusal.reason}" for refusal in refused]
            wrong += [f"{name} {f.node}: {f.found} ({f.rule}); {f.cure}" for f in found]
            rows.append((name, spec.precision, told))
            document[name] = entry
    report.table(("subgraph", "precision", "what it says"), rows)
    if not rtx.available():
        report.text("TensorRT-RTX is not here: rules alone (x86-64: pip install tensorrt-rtx)")
    report.document({"tensorrt": {"version": version, "subgraphs": document}})
    if wrong:
        raise BackendError(
            f"TensorRT {version} will not take {bundle.path}: " + "; ".join(wrong[:5]),
            "subgraphs that break none of its rules",
            "quantize with the preset orin or thor, which are made for it",
        )
