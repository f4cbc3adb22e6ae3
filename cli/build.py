"""`dreamvla build`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .bundle_path import BundlePath
from .command import example, shared_options
from .report import Report

if TYPE_CHECKING:
    from dreamvla_edge.deploy.engine import PluginForm
    from dreamvla_edge.runtime.bundle import Bundle


@click.command("build", epilog=example("dreamvla build bundle"))
@click.argument("bundle", type=BundlePath())
@click.option("--plugin", is_flag=True, help="Attention by our kernel, compiled here (nvcc, onnx).")
@click.option("--force", is_flag=True, help="Build again what was built before.")
@shared_options
def command(bundle: Path, plugin: bool, force: bool, report: Report) -> None:
    """Build TensorRT's engines of a bundle.

    They are for the GPU and power mode of this machine and are kept in
    ~/.cache/dreamvla-edge/engines, or $DREAMVLA_ENGINES. The lines that are printed build the same
    with TensorRT's own trtexec. Engines with --plugin are those of the back end tensorrt-plugin.
    """
    from dreamvla_edge.deploy.engine import build_engines
    from dreamvla_edge.kernels.device import KernelError
    from dreamvla_edge.kernels.plugin import plugin_key
    from dreamvla_edge.runtime.backends.engine import engine_key
    from dreamvla_edge.runtime.bundle import open_bundle
    from dreamvla_edge.runtime.errors import BackendError

    opened = open_bundle(bundle)
    try:
        import tensorrt

        from dreamvla_edge.kernels.cuda_device import CudaDevice

        device = CudaDevice()
    except (ImportError, KernelError) as error:
        raise BackendError(
            f"no TensorRT here ({error})",
            "a Jetson with JetPack 6.1 or later, or another machine with TensorRT 10.3 or later",
            "sudo apt install python3-libnvinfer, and make the virtual environment with"
            " --system-site-packages and the extra [jetson]",
        ) from error
    key = engine_key(
        opened.path,
        tensorrt.__version__,
        device.architecture,
        device.multiprocessors,
        plugin_key() if plugin else "",
    )
    form = _plugin_form(opened) if plugin else None
    denoiser = _denoiser_writer(opened)
    built = build_engines(opened, key, _free_bytes, report.progress, force, form, denoiser)
    report.table(
        ("subgraph", "MB", "engine"),
        ((b.name, f"{b.path.stat().st_size / 1e6:.1f}", str(b.path)) for b in built),
    )
    for engine in built:
        report.text(engine.trtexec)
    report.document({"engines": {b.name: b.path for b in built}})
    report.document({"trtexec": {b.name: b.trtexec for b in built}})


def _plugin_form(bundle: Bundle) -> PluginForm:
    from dreamvla_edge.runtime.errors import BackendError

    try:
        from dreamvla_edge.export.tensorrt.form import write_with_plugin
    except ImportError as error:
        raise BackendError(
            f"--plugin changes the graph, which needs a package ({error})",
            "the package onnx",
            "pip install 'dreamvla-edge[jetson]', or build without --plugin",
        ) from error
    slots = bundle.manifest.network.window
    return lambda model, folder: write_with_plugin(model, slots, folder)


def _denoiser_writer(bundle: Bundle) -> Callable[[Path, Path], None] | None:
    """What writes the weights of the sampler's kernel; None where it is not for this bundle."""
    from dreamvla_edge.runtime.backends.tensorrt_sampler import PRECISIONS
    from dreamvla_edge.runtime.errors import BackendError

    denoise = bundle.manifest.subgraphs.get("denoise")
    if denoise is None or denoise.precision not in PRECISIONS:
        return None
    try:
        from dreamvla_edge.export.tensorrt.denoiser import write_denoiser
    except ImportError as error:
        raise BackendError(
            f"the sampler's kernel takes its weights out of the bundle by a package ({error})",
            "the package onnx",
            "pip install 'dreamvla-edge[jetson]'",
        ) from error
    return write_denoiser


def _free_bytes() -> int:
    """Of memory that can be had without swapping; on a Jetson the GPU's is the same."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise OSError("/proc/meminfo names no MemAvailable")
