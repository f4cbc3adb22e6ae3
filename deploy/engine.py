"""TensorRT engines of a bundle, built on the machine that will run them.

Networks are strongly typed: the types are the graph's own, which is the one way that every version
from 10.3 to 11.4 knows. One subgraph after another, since a build takes several times the memory
of its weights; each is kept as soon as it is done.
"""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from dreamvla_edge.kernels.device import KernelError
from dreamvla_edge.kernels.plugin import compiled_plugin, register
from dreamvla_edge.runtime.backends.engine import (
    DENOISER,
    PLUGIN_LIBRARY,
    EngineKey,
    engine_folder,
)
from dreamvla_edge.runtime.backends.shapes import Shapes, shapes
from dreamvla_edge.runtime.bundle import Bundle
from dreamvla_edge.runtime.errors import BackendError

PluginForm = Callable[[Path, Path], Path]
"""Writes the plugin form of an ONNX file into a folder, and says where."""
KEY_NAME = "key.json"
TIMING_CACHE = "timing.cache"
_MEMORY_FACTOR = 4
"""A build has held so many times its ONNX file's size at once (weights, their copies in other
layouts, tactics that are tried)."""


@dataclass(frozen=True)
class Built:
    """An engine: its file, and the trtexec line that builds the same."""

    name: str
    path: Path
    trtexec: str


def build_engines(
    bundle: Bundle,
    key: EngineKey,
    free_bytes: Callable[[], int],
    progress: Callable[[str], None] = lambda line: None,
    force: bool = False,
    plugin_form: PluginForm | None = None,
    write_denoiser: Callable[[Path, Path], None] | None = None,
) -> tuple[Built, ...]:
    """Builds what is missing for a key, or everything with `force`.

    free_bytes: of memory that CPU and GPU share, now; plugin_form: needed if the key names a
    plugin, which is then compiled first; write_denoiser: writes the weights of `denoise` for the
    sampler's kernel. Raises BackendError if there is too little memory, the plugin cannot be had,
    or TensorRT refuses a subgraph.
    """
    folder = engine_folder(key)
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / KEY_NAME, json.dumps(asdict(key), indent=1).encode())
    library = _plugin(folder / PLUGIN_LIBRARY, key, progress, force) if key.plugin else None
    built = []
    for name, spec in bundle.manifest.subgraphs.items():
        path = folder / f"{name}.engine"
        model = bundle.model(name)
        if plugin_form is not None and name == "backbone":
            model = plugin_form(model, folder)
        uses = shapes(bundle.manifest.network, name, spec)
        if force or not path.exists():
            size = sum(bundle.file(file).stat().st_size for file in spec.files)
            _require_memory(name, _MEMORY_FACTOR * size, free_bytes())
            progress(f"building {name}")
            plan = build_engine(model, uses, folder / TIMING_CACHE)
            _write(path, plan)
        if (
            name == "denoise"
            and write_denoiser is not None
            and (force or not (folder / DENOISER).exists())
        ):
            _write_denoiser(write_denoiser, model, folder / DENOISER, progress)
        built.append(Built(name, path, trtexec_line(model, uses, path, library)))
    return tuple(built)


def build_engine(model: Path, uses: tuple[Shapes, ...], timing_cache: Path) -> bytes:
    """The engine of one ONNX file, tuned for each of its uses. Raises BackendError."""
    import tensorrt

    logger = tensorrt.Logger(tensorrt.Logger.WARNING)
    builder = tensorrt.Builder(logger)
    flags = tensorrt.NetworkDefinitionCreationFlag
    network = builder.create_network(1 << int(flags.STRONGLY_TYPED))
    parser = tensorrt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(model)):
        errors = [parser.get_error(i) for i in range(parser.num_errors)]
        raise BackendError(
            f"TensorRT {tensorrt.__version__} cannot parse {model}: "
            + "; ".join(f"{e.node_name()}: {e.desc()}" for e in errors[:3]),
            "a subgraph that it takes",
            "look with `dreamvla inspect BUNDLE --tensorrt VERSION`",
        )
    config = builder.create_builder_config()
    config.profiling_verbosity = tensorrt.ProfilingVerbosity.DETAILED
    cache = config.create_timing_cache(timing_cache.read_bytes() if timing_cache.exists() else b"")
    config.set_timing_cache(cache, False)
    for use in uses:
        profile = builder.create_optimization_profile()
        for name, bounds in use.items():
            profile.set_shape(name, *bounds)
        config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise BackendError(
            f"TensorRT {tensorrt.__version__} builds no engine of {model}",
            "an engine; what it wrote above says why",
            "free memory (close the desktop, add swap), or look with `dreamvla inspect --tensorrt`",
        )
    _write(timing_cache, bytes(memoryview(config.get_timing_cache().serialize())))
    return bytes(memoryview(plan))


def trtexec_line(
    model: Path, uses: tuple[Shapes, ...], engine: Path, plugin: Path | None = None
) -> str:
    """The command of TensorRT's own that builds the same engine."""
    parts = ["trtexec", f"--onnx={model}", f"--saveEngine={engine}", "--stronglyTyped"]
    parts.append("--profilingVerbosity=detailed")
    if plugin is not None:
        parts.append(f"--dynamicPlugins={plugin}")
    for number, use in enumerate(uses):
        if len(uses) > 1:
            parts.append(f"--profile={number}")
        for i, kind in enumerate(("min", "opt", "max")):
            said = ",".join(f"{n}:{'x'.join(map(str, b[i]))}" for n, b in use.items())
            parts.append(f"--{kind}Shapes={said}")
    return shlex.join(parts)


def _plugin(library: Path, key: EngineKey, progress: Callable[[str], None], force: bool) -> Path:
    """The plugin's library, compiled if need be, and known to TensorRT."""
    import tensorrt

    try:
        if force or not library.exists():
            progress("compiling the plugin")
            _write(library, compiled_plugin(key.architecture))
        register(tensorrt.get_plugin_registry(), library)
    except KernelError as error:
        raise BackendError(
            f"no plugin for masked attention ({error})",
            "nvcc and the headers of TensorRT",
            "install them, or build without --plugin",
        ) from error
    return library


def _write_denoiser(
    write: Callable[[Path, Path], None],
    model: Path,
    output: Path,
    progress: Callable[[str], None],
) -> None:
    """The sampler's weights; without them the engine runs once for each step, equally right."""
    part = output.with_suffix(".part")
    try:
        write(model, part)
    except ValueError as error:
        progress(f"no kernel for the sampler, which runs step by step: {error}")
        part.unlink(missing_ok=True)
    else:
        part.replace(output)


def _require_memory(name: str, needed: int, free: int) -> None:
    if free < needed:
        raise BackendError(
            f"{free / 1e9:.1f} GB of memory are free; building {name} takes about"
            f" {needed / 1e9:.1f} GB",
            "enough for the build beside what runs",
            "stop other programs (the desktop too), or add swap, and build again",
        )


def _write(path: Path, data: bytes) -> None:
    """All or nothing."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    Path(file.name).replace(path)
