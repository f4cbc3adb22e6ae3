"""`dreamvla robot check`."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .bundle_path import BundlePath
from .command import example, shared_options
from .report import Report

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from dreamvla_edge.runtime.arms.arm import ArmReading
    from dreamvla_edge.runtime.arms.description import ArmDescription
    from dreamvla_edge.runtime.bundle import Bundle
    from dreamvla_edge.runtime.robot import Robot
    from dreamvla_edge.runtime.robot_check import Finding
    from dreamvla_edge.runtime.specification import CameraSpecification

WARM_UP_S, MEASURED_S = 0.5, 1.0
"""Cameras begin slowly; the rate counts after that [s]."""
HEIGHT, WIDTH = 480, 640
"""Of frames when neither a bundle nor the robot file says it [pixel]."""


@click.command(
    "check",
    epilog=example(
        "dreamvla robot check robot.toml",
        "dreamvla robot check robot.toml bundle --plot frames.png",
    ),
)
@click.argument("robot", type=click.Path(path_type=Path))
@click.argument("bundle", type=BundlePath(), required=False)
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    help="Draw live frames beside the bundle's example frames, as a PNG.",
)
@click.option("--force", is_flag=True, help="Replace an existing picture.")
@shared_options
def check(robot: Path, bundle: Path | None, plot: Path | None, force: bool, report: Report) -> None:
    """Check that a robot is what its file says, and fits a bundle.

    Asks the servos who they are, measures voltages and temperatures, and looks through both
    cameras; nothing moves and torque stays as it is. With a bundle: do its actions, its state and
    its cameras fit this robot?
    """
    from dreamvla_edge.runtime.bundle import open_bundle
    from dreamvla_edge.runtime.errors import RobotError
    from dreamvla_edge.runtime.robot import describe, load_robot
    from dreamvla_edge.runtime.robot_check import bundle_findings

    from .written import require_free

    if plot is not None:
        if bundle is None:
            raise click.UsageError("--plot needs a bundle, whose example frames it shows")
        require_free(plot, force)
    loaded = load_robot(robot)
    description = describe(loaded, robot.parent)
    opened = None if bundle is None else open_bundle(bundle)
    report.progress("asking the servos")
    rows, reading = _arm(loaded, robot.parent, description)
    frames: dict[str, NDArray[np.uint8]] = {}
    report.progress("looking through both cameras")
    cameras = _specifications(loaded, opened)
    with ThreadPoolExecutor(len(cameras)) as pool:  # together, as they share a USB hub in a run
        for camera, (more, image) in zip(
            cameras, pool.map(partial(_camera, loaded), cameras), strict=True
        ):
            rows += more
            if image is not None:
                frames[camera.role] = image
    if opened is not None and reading is not None and len(frames) == 2:
        specification = opened.manifest.specification
        rows += bundle_findings(description, specification, reading, frames)
    if plot is not None and opened is not None:
        _draw(plot, opened, frames, report)
    report.table(
        ("check", "found", "expected", "verdict"),
        ((row.what, row.found, row.expected, "ok" if row.good else "WRONG") for row in rows),
    )
    bad = [row for row in rows if not row.good]
    report.document({"robot": robot, "findings": [_as_dict(row) for row in rows], "good": not bad})
    if bad:
        raise RobotError(
            "; ".join(f"{row.what}: {row.found}" for row in bad),
            "; ".join(f"{row.what}: {row.expected}" for row in bad),
            f"repair what is wrong or correct {robot}, then check again",
        )


def _arm(
    robot: Robot, folder: Path, description: ArmDescription
) -> tuple[list[Finding], ArmReading | None]:
    """Rows about port, servos and what they measure; the reading if there is one."""
    from dreamvla_edge.runtime.errors import ArmError
    from dreamvla_edge.runtime.robot_check import Finding, arm_findings

    from .live_arm import opened, serial_port

    wanted = f"{len(description.servos)} servos of a {description.name}"
    try:
        with serial_port(robot, folder) as port, opened(robot, folder, port) as arm:
            arm.identify()
            reading = arm.read()
    except ArmError as error:
        return [Finding("arm", error.found, error.expected, False)], None
    rows = [Finding("arm", f"{wanted} on {robot.arm.port}", wanted, True)]
    return [*rows, *arm_findings(description, reading)], reading


def _specifications(robot: Robot, bundle: Bundle | None) -> tuple[CameraSpecification, ...]:
    """What the frames shall be: as the bundle says, else as the robot file does."""
    from dreamvla_edge.runtime.specification import CameraSpecification

    if bundle is not None:
        return bundle.manifest.specification.cameras
    primary, wrist = robot.cameras.primary, robot.cameras.wrist
    return (
        CameraSpecification("primary", primary.height or HEIGHT, primary.width or WIDTH),
        CameraSpecification("wrist", wrist.height or HEIGHT, wrist.width or WIDTH),
    )


def _camera(
    robot: Robot, camera: CameraSpecification
) -> tuple[list[Finding], NDArray[np.uint8] | None]:
    """Rows about one camera, and its newest frame if it gave any."""
    from dreamvla_edge.runtime.cameras import open_camera
    from dreamvla_edge.runtime.errors import ObservationError
    from dreamvla_edge.runtime.robot_check import Finding, camera_findings

    source = robot.cameras.primary if camera.role == "primary" else robot.cameras.wrist
    stamps: list[float] = []
    try:
        opened = open_camera(source, camera)
        try:
            begin = time.monotonic() + WARM_UP_S
            frame = opened.read()
            while len(stamps) < 2 or stamps[-1] < begin + MEASURED_S:
                frame = opened.read()
                if frame.stamp_s >= begin:
                    stamps.append(frame.stamp_s)
        finally:
            opened.close()
    except ObservationError as error:
        return [Finding(f"{camera.role} camera", error.found, error.expected, False)], None
    return list(camera_findings(source, camera, frame.image, stamps)), frame.image


def _draw(plot: Path, bundle: Bundle, frames: dict[str, NDArray[np.uint8]], report: Report) -> None:
    from .robot_picture import picture_png
    from .written import write_file

    write_file(plot, picture_png(bundle, frames))
    report.text(f"live and example frames drawn to {plot}\n")
    report.document({"plot": plot})


def _as_dict(row: Finding) -> dict[str, Any]:
    return {"check": row.what, "found": row.found, "expected": row.expected, "good": row.good}
