"""Writes one subgraph as an ONNX file with external data."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import onnx
import torch
from torch.export import Dim

from .operators import DOMAIN, IR_VERSION, OPSET, TRANSLATIONS, functions
from .subgraphs import Subgraph


def write_onnx(subgraph: Subgraph, folder: Path) -> tuple[str, ...]:
    """Write `<name>.onnx` (and `<name>.onnx.data` with the weights); return the file names."""
    path = folder / f"{subgraph.name}.onnx"
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
    _add_functions(path)
    return tuple(sorted(file.name for file in folder.glob(f"{subgraph.name}.onnx*")))


def _dynamic_shapes(subgraph: Subgraph) -> Any:
    names = {name for axes in subgraph.dynamic for name in axes.values()}
    dims = {name: Dim(name) for name in sorted(names)}
    flat = [{axis: dims[name] for axis, name in axes.items()} for axes in subgraph.dynamic]
    lone = [example for example in subgraph.example if isinstance(example, torch.Tensor)]
    if len(lone) == len(subgraph.example):
        return tuple(flat)
    return (*flat[: len(lone)], tuple(flat[len(lone) :]))


def _add_functions(path: Path) -> None:
    """Append our functions to a model that uses their nodes; weights stay in their own file."""
    model = onnx.load(path, load_external_data=False)
    used = {node.op_type for node in model.graph.node if node.domain == DOMAIN}
    if used:
        model.functions.extend(f for f in functions() if f.name in used)
        if DOMAIN not in {entry.domain for entry in model.opset_import}:
            model.opset_import.append(onnx.helper.make_opsetid(DOMAIN, 1))
        onnx.save(model, path)
    onnx.checker.check_model(path)
