"""Writes one subgraph as an ONNX file with external data."""

from __future__ import annotations

import ast
import logging
import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from torch.export import Dim

from .nodes import TRANSLATIONS
from .operators import DOMAIN, IR_VERSION, OPSET, functions
from .subgraphs import Subgraph


def write_onnx(subgraph: Subgraph, folder: Path) -> tuple[str, ...]:
    """Write `<name>.onnx` (and `<name>.onnx.data` with the weights); return the file names."""
    path = folder / f"{subgraph.name}.onnx"
    # The exporter warns that torchvision is missing, which nothing here uses, and of constants
    # that it does not fold.
    for name in ("torch.onnx._internal.exporter._registration", "onnxscript"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside the exporter
        program = torch.onnx.export(
            subgraph.module,
            subgraph.example,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(subgraph.inputs),
            output_names=list(subgraph.outputs),
            dynamic_shapes=_dynamic_shapes(subgraph),
            custom_translation_table=TRANSLATIONS,
            verbose=False,
        )
    assert program is not None
    program.model.ir_version = IR_VERSION
    program.save(path, external_data=True)
    _finish(path)
    return tuple(sorted(file.name for file in folder.glob(f"{subgraph.name}.onnx*")))


def _dynamic_shapes(subgraph: Subgraph) -> Any:
    names = {name for axes in subgraph.dynamic for name in axes.values()}
    dims = {name: Dim(name) for name in sorted(names)}
    flat = [{axis: dims[name] for axis, name in axes.items()} for axes in subgraph.dynamic]
    lone = [example for example in subgraph.example if isinstance(example, torch.Tensor)]
    if len(lone) == len(subgraph.example):
        return tuple(flat)
    return (*flat[: len(lone)], tuple(flat[len(lone) :]))


def _finish(path: Path) -> None:
    """Add our functions where their nodes are used and name nodes after their modules.

    What the exporter records about its own run (stack traces with the paths of this machine) is
    left out, so equal networks give equal files. Weights stay in their own file.
    """
    model = onnx.load(path, load_external_data=False)
    for index, node in enumerate(model.graph.node):
        node.name = f"{_module(node)}/{node.op_type}_{index}".lstrip("/")
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info):
        del part.metadata_props[:]
    for part in (*model.graph.initializer, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
    used = {node.op_type for node in model.graph.node if node.domain == DOMAIN}
    model.functions.extend(function for function in functions() if function.name in used)
    onnx.save(model, path)
    onnx.checker.check_model(path)


def _module(node: onnx.NodeProto) -> str:
    """Dotted name of the innermost module that a node comes from."""
    for entry in node.metadata_props:
        if entry.key == "pkg.torch.onnx.name_scopes":
            scopes = [scope for scope in ast.literal_eval(entry.value) if scope]
            return str(scopes[-2]) if len(scopes) > 1 else ""
    return ""
