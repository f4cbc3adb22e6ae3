"""From a checkpoint to a bundle."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import msgspec
import numpy as np
import onnx

from dreamvla_edge.calibrate.work import counted
from dreamvla_edge.model.checkpoint import load_network
from dreamvla_edge.model.config import ModelConfig
from dreamvla_edge.model.errors import CheckpointError
from dreamvla_edge.model.mask import KINDS, mask_table, step_kinds
from dreamvla_edge.model.network import DreamVLA
from dreamvla_edge.model.schedule import TRAINING_STEPS, alpha_bar
from dreamvla_edge.model.sizes import Hints
from dreamvla_edge.runtime.bundle import (
    GOLDEN_NAME,
    TOKENIZER_NAME,
    Bundle,
    open_bundle,
    sha256,
)
from dreamvla_edge.runtime.manifest import (
    MANIFEST_NAME,
    SCHEMA_VERSION,
    DreamSpec,
    Manifest,
    NetworkSpec,
    SamplerSpec,
    SubgraphSpec,
    TensorSpec,
    contract_sha256,
)
from dreamvla_edge.runtime.place import check_output, place
from dreamvla_edge.runtime.preprocess import Preprocessing
from dreamvla_edge.runtime.tokenizer import CONTEXT, END, Tokenizer
from dreamvla_edge.runtime.verify import require, verify

from .data_set import DataSet
from .golden import record_golden
from .progress import Progress, silent
from .subgraphs import subgraphs
from .tokenizer import write_tokenizer
from .write import write_onnx

TOLERANCE = 1e-5
"""Float32 implementations agree to about 1e-6 of the largest value in two layers …"""
TOLERANCE_DEEP = 1e-4
"""… and to about 1e-5 in a full-size network; a wrong weight or mask shows as 1e-3 or more."""
SHALLOW_LAYERS = 6


def export(
    checkpoint: Path,
    output: Path,
    data_set: DataSet,
    *,
    force: bool = False,
    progress: Progress = silent,
) -> Bundle:
    """Write the bundle `output` for a checkpoint and prove that it computes the same.

    force: replace an existing bundle. The bundle is written beside its place and moved there
    when it is complete and verified; whatever stops this leaves nothing behind.
    Raises CheckpointError, OutputError and ParityError.
    """
    check_output(output, force)
    progress(f"reading {checkpoint}")
    network = load_network(checkpoint, hints(data_set)).requires_grad_(False)
    _check_fit(network.config)
    source = sha256(checkpoint)
    with place(output, force) as folder:
        manifest = _write(network, source, data_set, folder, progress)
        (folder / MANIFEST_NAME).write_bytes(
            msgspec.json.format(msgspec.json.encode(manifest), indent=1)
        )
        progress("verifying the ONNX files against the network")
        bundle = open_bundle(folder)
        require(verify(bundle), bundle)
    return Bundle(output, manifest)


def hints(data_set: DataSet) -> Hints:
    """What the data set says about its checkpoints."""
    given = msgspec.structs.asdict(data_set.model)
    return Hints(**given, finger_state=data_set.specification.state.gripper == "fingers")


def _check_fit(config: ModelConfig) -> None:
    if (config.context, config.vocabulary) != (CONTEXT, END + 1):
        raise CheckpointError(
            f"a text tower for {config.context} tokens of {config.vocabulary} kinds",
            f"CLIP's {CONTEXT} tokens of {END + 1} kinds, which the bundle's tokenizer makes",
            "check the checkpoint: DreamVLA uses the text tower of CLIP ViT-B/32",
        )


def _write(
    network: DreamVLA, source: str, data_set: DataSet, folder: Path, progress: Progress
) -> Manifest:
    """All files but the manifest."""
    specification = data_set.specification
    preprocessing = Preprocessing(size=network.config.image_size)
    spec = _network_spec(network.config)
    parts, specs = subgraphs(network), {}
    for number, part in enumerate(parts, 1):
        progress(f"writing {part.name} ({number} of {len(parts)})")
        files = write_onnx(part, folder)
        inputs, outputs = _tensor_specs(folder / files[0])
        work = counted(folder / files[0], spec, part.name)
        specs[part.name] = SubgraphSpec(
            files=files,
            inputs=inputs,
            outputs=outputs,
            precision="fp32",
            tolerance=_tolerance(network.config),
            gflop={use: one.gflop for use, one in work.items()},
            work=work,
        )
    write_tokenizer(folder / TOKENIZER_NAME)
    progress("recording golden data with the network")
    tokenizer = Tokenizer(folder / TOKENIZER_NAME)
    golden = record_golden(network, specification, preprocessing, tokenizer)
    golden["contract_sha256"] = np.array(contract_sha256(spec, specification, preprocessing))
    np.savez_compressed(folder / GOLDEN_NAME, **golden)  # type: ignore[arg-type]
    progress("hashing")
    return Manifest(
        schema_version=SCHEMA_VERSION,
        name=specification.name,
        network=spec,
        specification=specification,
        preprocessing=preprocessing,
        sampler=_sampler_spec(network.config),
        subgraphs=specs,
        files={file.name: sha256(file) for file in sorted(folder.iterdir())},
        source_sha256=source,
        versions={
            name: importlib.metadata.version(name)
            for name in ("dreamvla-edge", "torch", "onnx", "onnxscript", "onnxruntime", "numpy")
        },
    )


def _tolerance(config: ModelConfig) -> float:
    return TOLERANCE if config.backbone.layers <= SHALLOW_LAYERS else TOLERANCE_DEEP


def _network_spec(config: ModelConfig) -> NetworkSpec:
    tower = config.backbone
    return NetworkSpec(
        window=config.window,
        width=tower.width,
        layers=tower.layers,
        heads=tower.heads,
        head_width=tower.width // tower.heads,
        kinds=KINDS,
        step_kinds=step_kinds(config),
        mask=tuple(tuple(row) for row in mask_table(config)),  # type: ignore[misc]
        slots_ahead=config.goal_offset,
        vision_rows=config.vision_rows,
        dream_rows=config.dream_rows,
        action_steps=config.action_steps,
        action_head=config.action_head,
        dreams=tuple(
            DreamSpec(name=head.name, tokens=head.tokens, channels=head.channels)
            for head in config.dreams
        ),
    )


def _sampler_spec(config: ModelConfig) -> SamplerSpec | None:
    if config.action_head == "mlp":
        return None
    stride = TRAINING_STEPS // config.sampler_steps
    timesteps = tuple(range(TRAINING_STEPS - stride, -1, -stride))
    levels = alpha_bar()
    return SamplerSpec(
        kind="ddim",
        timesteps=timesteps,
        alpha_bar=tuple(float(levels[t]) for t in timesteps),
        guidance=config.guidance,
    )


def _tensor_specs(path: Path) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    graph = onnx.load(path, load_external_data=False).graph
    inputs, outputs = (tuple(map(_tensor_spec, part)) for part in (graph.input, graph.output))
    return inputs, outputs


_TYPES: dict[int, str] = {onnx.TensorProto.FLOAT: "float32", onnx.TensorProto.INT32: "int32"}


def _tensor_spec(value: onnx.ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(dim.dim_param or dim.dim_value for dim in tensor.shape.dim)
    return TensorSpec(name=value.name, dtype=_TYPES[tensor.elem_type], shape=shape)  # type: ignore[arg-type]
