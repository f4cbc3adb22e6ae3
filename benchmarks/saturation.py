"""Whether integer products of a quantized bundle saturate on this processor.

    python benchmarks/saturation.py BUNDLE [--json]

Every layer with activations of 8 bits (but for those whose sums are halves) alone, as the runtime's
back end computes it, on activations at the ends of their range: with the signs that make its own
weights add up highest, for some of its outputs, and drawn. Compared with the same quantized numbers
in float64 (simulated quantization). Exits with 1 where a sum differs by more than float32 can: AVX2
without VNNI adds pairs of products in 16 bits.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from dreamvla_edge.calibrate.weights import load_with_weights
from dreamvla_edge.runtime.backends.onnxruntime import OnnxRuntimeSession
from dreamvla_edge.runtime.bundle import open_bundle

LARGEST = 1e-5
"""Of the largest sum: some roundings of float32 (6e-8 each), and no lost product of two bytes."""
_OUTPUTS, _DRAWN = 8, 24


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", 1)[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args(arguments)
    found = errors(options.bundle)
    worst = max(found, key=found.__getitem__, default=None)
    if options.json:
        print(json.dumps({"layers": len(found), "worst": worst, "errors": found}, indent=1))
    elif worst is None:
        print("no layer with integer products")
    else:
        print(f"{len(found)} layers; worst {worst}: {found[worst]:.1e} of its largest sum")
    return 0 if all(error <= LARGEST for error in found.values()) else 1


def errors(bundle: Path) -> dict[str, float]:
    """By layer the largest error of a sum, of the largest sum.

    Raises ValueError if a sum is not finite.
    """
    opened, found = open_bundle(bundle), {}
    with TemporaryDirectory() as temporary:
        path = Path(temporary) / "layer.onnx"
        for name, spec in opened.manifest.subgraphs.items():
            if spec.precision not in ("uint8", "int8"):
                continue
            for layer in _layers(load_with_weights(opened.model(name))):
                onnx.save(layer, path)
                given = _extremes(layer)
                (sums,) = OnnxRuntimeSession(path, 1, spec).run({"x": given}).values()
                expected = _simulated(layer, given)
                if not np.isfinite(sums).all():
                    raise ValueError(f"{name} {layer.graph.name}: a sum that is not finite")
                error = np.abs(sums - expected).max() / np.abs(expected).max()
                found[f"{name} {layer.graph.name}"] = float(error)
    return found


def _layers(model: onnx.ModelProto) -> Iterator[onnx.ModelProto]:
    """Every product with its two dequantized factors and the rounding of its activation, alone.

    Input `x`, output `y`; initializers `x.scale`, `x.zero`, `w`, `w.scale` and `w.zero`.
    """
    makers = {output: node for node in model.graph.node for output in node.output}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        factors = [makers.get(name) for name in node.input[:2]]
        if node.op_type not in ("MatMul", "Gemm") or any(
            maker is None or maker.op_type != "DequantizeLinear" for maker in factors
        ):
            continue
        rounded, weight = factors
        assert rounded is not None and weight is not None
        if weight.input[0] not in constants:
            continue
        names = ("x.scale", "x.zero", "w", "w.scale", "w.zero")
        arrays = [numpy_helper.to_array(constants[n]) for n in (*rounded.input[1:], *weight.input)]
        if arrays[0].dtype == np.float16:
            continue  # sums in halves are rounded more than this looks for
        inputs, outputs = arrays[2].shape if not _turned(node) else arrays[2].shape[::-1]
        kind = helper.np_dtype_to_tensor_dtype(arrays[0].dtype)
        product = helper.make_node(node.op_type, ["x.dequantized", "w.dequantized"], ["y"])
        product.attribute.extend(node.attribute)
        turned = helper.make_node("DequantizeLinear", list(names[2:]), ["w.dequantized"])
        turned.attribute.extend(weight.attribute)
        x = helper.make_tensor_value_info("x", kind, [_OUTPUTS + _DRAWN, inputs])
        y = helper.make_tensor_value_info("y", kind, [_OUTPUTS + _DRAWN, outputs])
        steps = [
            helper.make_node("QuantizeLinear", ["x", *names[:2]], ["x.quantized"]),
            helper.make_node("DequantizeLinear", ["x.quantized", *names[:2]], ["x.dequantized"]),
            turned,
            product,
        ]
        kept = [numpy_helper.from_array(a, n) for n, a in zip(names, arrays, strict=True)]
        graph = helper.make_graph(steps, node.name, [x], [y], kept)
        yield helper.make_model(graph, opset_imports=model.opset_import, ir_version=10)


def _turned(node: onnx.NodeProto) -> bool:
    return any(a.name == "transB" and a.i for a in node.attribute)


def _constants(layer: onnx.ModelProto) -> dict[str, NDArray[np.float64]]:
    """Of a layer, the weights as (inputs, outputs)."""
    found = {t.name: numpy_helper.to_array(t).astype(float) for t in layer.graph.initializer}
    axis = 0 if _turned(layer.graph.node[-1]) else 1
    along = (-1, 1) if axis == 0 else (1, -1)
    weight = (found["w"] - found["w.zero"].reshape(along)) * found["w.scale"].reshape(along)
    return found | {"weight": weight.T if axis == 0 else weight}


def _limits(layer: onnx.ModelProto) -> tuple[int, int]:
    (zero,) = (t for t in layer.graph.initializer if t.name == "x.zero")
    limits = np.iinfo(numpy_helper.to_array(zero).dtype)
    return limits.min, limits.max


def _extremes(layer: onnx.ModelProto) -> NDArray[np.floating]:
    """Activations at the ends of their range; the first rows make some outputs highest."""
    constants, (low, high) = _constants(layer), _limits(layer)
    random = np.random.default_rng(0)
    weight = constants["weight"]
    positive = [weight[:, column] > 0 for column in random.integers(0, weight.shape[1], _OUTPUTS)]
    drawn = random.uniform(size=(_DRAWN, len(weight))) < np.linspace(0, 1, _DRAWN)[:, None]
    steps = np.where(np.concatenate([positive, drawn]), high, low) - constants["x.zero"]
    (scale,) = (t for t in layer.graph.initializer if t.name == "x.scale")
    return (steps * constants["x.scale"]).astype(numpy_helper.to_array(scale).dtype)


def _simulated(layer: onnx.ModelProto, given: NDArray[np.floating]) -> NDArray[np.float64]:
    """The sums of the same quantized numbers, in float64."""
    constants, (low, high) = _constants(layer), _limits(layer)
    scale, zero = constants["x.scale"], constants["x.zero"]
    steps = np.clip(np.round(given / scale) + zero, low, high) - zero
    found: NDArray[np.float64] = steps * scale @ constants["weight"]
    return found


if __name__ == "__main__":
    sys.exit(main())
