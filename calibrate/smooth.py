"""SmoothQuant (arXiv 2211.10438): a few loud channels move from activations into the weights."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from .histogram import Histogram, Range
from .layers import Layer, weight_of


def smoothed(
    model: onnx.ModelProto, layers: Sequence[Layer], seen: Mapping[str, Histogram], strength: float
) -> dict[str, Range]:
    """Divides activations that come from a LayerNorm by a factor for each channel, in place.

    The factor (equation 4) goes into the norm's scale and bias on one side and into the weights
    of all layers that read it on the other, so that the graph computes the same. Left out are
    norms that anything but these layers reads, or whose constants others read. The ranges of the
    activations that changed, as they would have been seen.
    """
    produced = {node.output[0]: node for node in model.graph.node}
    readers = defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            readers[name].append(node)
    outputs = {output.name for output in model.graph.output}
    own = defaultdict(list)
    for layer in layers:
        own[layer.activation].append(layer)
    found = {}
    for name, group in own.items():
        norm = produced.get(name)
        if norm is None or norm.op_type != "LayerNormalization" or name in outputs:
            continue
        if len(readers[name]) != len(group) or not _alone(model, norm, group):
            continue
        lows, highs = seen[name].lows, seen[name].highs
        loud = [np.abs(weight_of(model, one.weight)).max(one.channels) for one in group]
        reach = np.maximum(np.maximum(-lows, highs), 1e-5)
        factor = reach**strength / np.maximum(np.max(loud, 0), 1e-5) ** (1 - strength)
        for part in norm.input[1:]:
            _replace(model, part, weight_of(model, part) / factor)
        for one in group:
            along = np.expand_dims(factor, one.channels)
            _replace(model, one.weight, weight_of(model, one.weight) * along)
        found[name] = Range(float((lows / factor).min()), float((highs / factor).max()))
    return found


def _alone(model: onnx.ModelProto, norm: onnx.NodeProto, group: Sequence[Layer]) -> bool:
    """Whether norm and weights are read by these nodes only: constants can be shared."""
    constants = {tensor.name for tensor in model.graph.initializer}
    for name, count in [(part, 1) for part in norm.input[1:]] + [(g.weight, 1) for g in group]:
        uses = sum(list(node.input).count(name) for node in model.graph.node)
        if name not in constants or uses != count:
            return False
    return True


def _replace(model: onnx.ModelProto, name: str, array: NDArray[np.floating]) -> None:
    (tensor,) = (t for t in model.graph.initializer if t.name == name)
    tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float32), name))
