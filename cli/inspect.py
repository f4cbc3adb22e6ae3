"""`dreamvla inspect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .bundle_path import BundlePath
from .command import example, shared_options
from .report import Report

if TYPE_CHECKING:
    from dreamvla_edge.runtime.bundle import Bundle
    from dreamvla_edge.runtime.manifest import SubgraphSpec, TensorSpec


TENSORRT = ("10.3", "10.13", "10.16", "11.4")
"""VERSIONS of export/tensorrt/rules.py, which must not be imported for a help text."""


@click.command(
    "inspect",
    epilog=example(
        "dreamvla inspect bundle --plot mask.png", "dreamvla inspect bundle --tensorrt 10.3"
    ),
)
@click.argument("bundle", type=BundlePath())
@click.option("--plot", type=click.Path(path_type=Path), help="Draw the block mask as a PNG.")
@click.option(
    "--tensorrt",
    type=click.Choice(TENSORRT),
    help="Say whether this version will take it. Needs the extra [export].",
)
@click.option("--force", is_flag=True, help="Replace an existing picture.")
@shared_options
def command(
    bundle: Path, plot: Path | None, tensorrt: str | None, force: bool, report: Report
) -> None:
    """Show what is in a bundle: subgraphs, shapes, precision, size, work, actions, mask."""
    import msgspec

    from dreamvla_edge.runtime.bundle import open_bundle

    report.progress(f"checking the hashes of {bundle}")
    opened = open_bundle(bundle)
    network = opened.manifest.network
    if plot is not None:
        from .mask_picture import draw_mask

        draw_mask(network, plot, force)
    report.text(
        f"{bundle}: {opened.manifest.name}, window {network.window}, backbone {network.layers} x"
        f" {network.width}, {network.action_head} head, made by dreamvla-edge"
        f" {opened.manifest.versions.get('dreamvla-edge', '?')}"
    )
    report.text()
    report.table(
        ("subgraph", "inputs", "outputs", "precision", "MB", "GFLOP"),
        (
            (
                name,
                _shapes(spec.inputs),
                _shapes(spec.outputs),
                spec.precision,
                f"{_bytes(opened, spec) / 1e6:.1f}",
                ", ".join(f"{use} {work:.2f}" for use, work in spec.gflop.items()),
            )
            for name, spec in opened.manifest.subgraphs.items()
        ),
    )
    report.text()
    _show_specification(opened, report)
    sizes = {name: _bytes(opened, spec) for name, spec in opened.manifest.subgraphs.items()}
    report.document({**msgspec.to_builtins(opened.manifest), "bytes": sizes})
    if plot is not None:
        report.text(f"\nmask drawn to {plot}")
        report.document({"plot": plot})
    if tensorrt is not None:
        from .inspect_tensorrt import check

        check(opened, tensorrt, report)


def _bytes(bundle: Bundle, spec: SubgraphSpec) -> int:
    return sum(bundle.file(name).stat().st_size for name in spec.files)


def _shapes(tensors: tuple[TensorSpec, ...]) -> str:
    """Names with shapes; of the keys and values of all layers only the first pair is shown."""
    shown = [
        f"{tensor.name}[{','.join(map(str, tensor.shape))}]"
        for tensor in tensors
        if not any(digit in tensor.name for digit in "123456789")
    ]
    return ", ".join(shown)


def _show_specification(bundle: Bundle, report: Report) -> None:
    specification, sampler = bundle.manifest.specification, bundle.manifest.sampler
    action, state = specification.action, specification.state
    report.text(
        f"actions: {action.kind} at {action.rate_hz:g} Hz, {action.frame} frame, rotation"
        f" {action.rotation}, added to the {action.anchor}, executed: {action.chunk}"
    )
    for dimension in action.dimensions:
        offset = f" {dimension.offset:+g}" if dimension.offset else ""
        report.text(f"  {dimension.name} = {dimension.scale:g} x{offset} [{dimension.unit}]")
    report.text(f"  gripper above {action.gripper.threshold:g} is {action.gripper.upper_means}")
    names = ", ".join(dimension.name for dimension in state.dimensions)
    report.text(f"state: {names}, gripper {state.gripper}")
    for camera in specification.cameras:
        report.text(
            f"camera {camera.role}: {camera.width} x {camera.height}, flip {camera.flip},"
            f" crop {camera.crop or 'none'}"
        )
    if sampler is not None:
        times = ", ".join(map(str, sampler.timesteps))
        sweeps = f", {sampler.sweeps} sweeps" if sampler.sweeps else ""
        report.text(
            f"sampler: {sampler.kind} at t = {times}{sweeps}, guidance {sampler.guidance:g}"
        )
