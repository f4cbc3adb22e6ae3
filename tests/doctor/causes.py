"""Causes that can be planted in a board of files, each with what cures it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass

from boards import stub
from patient import Patient


@dataclass(frozen=True)
class Case:
    """plant makes `name` be found, cure undoes it; says: part of what is found or the cure."""

    name: str
    level: str
    says: str
    plant: Callable[[Patient], object]
    cure: Callable[[Patient], object]


def _release(text: str) -> Callable[[Patient], object]:
    return lambda patient: patient.tree.write("etc/nv_tegra_release", text)


def _gone(path: str) -> Callable[[Patient], object]:
    return lambda patient: (patient.tree.root / path).rename(patient.tree.root / "aside")


def _back(path: str) -> Callable[[Patient], object]:
    return lambda patient: (patient.tree.root / "aside").rename(patient.tree.root / path)


def _good_release(patient: Patient) -> object:
    return patient.tree.write("etc/nv_tegra_release", patient.kind.release)


CASES = (
    Case("jetpack", "error", "6.0", _release("R36 (release), REVISION: 3.0"), _good_release),
    Case("jetpack", "error", "32.7.1", _release("R32 (release), REVISION: 7.1"), _good_release),
    Case("jetpack", "warning", "newer", _release("R41 (release), REVISION: 1.0"), _good_release),
    Case("jetpack", "warning", "begins with", _release("no version"), _good_release),
    Case(
        "tensorrt",
        "warning",
        "--system-site-packages",
        lambda patient: patient.tensorrt(""),
        lambda patient: patient.tensorrt("10.3.0"),
    ),
    Case(
        "tensorrt",
        "error",
        "TensorRT 8.6.2",
        lambda patient: patient.tensorrt("8.6.2"),
        lambda patient: patient.tensorrt("10.3.0"),
    ),
    Case(
        "tensorrt",
        "warning",
        "sudo apt install python3-libnvinfer",
        lambda patient: (patient.tensorrt(""), patient.tree.debs({})),
        lambda patient: patient.tensorrt("10.3.0"),
    ),
    Case(
        "cuda",
        "warning",
        "without nvcc",
        lambda patient: (patient.tree.root / "usr/local/cuda/bin/nvcc").chmod(0o644),
        lambda patient: (patient.tree.root / "usr/local/cuda/bin/nvcc").chmod(0o755),
    ),
    Case("cuda", "warning", "no CUDA", _gone("usr/local/cuda"), _back("usr/local/cuda")),
    Case(
        "power",
        "warning",
        "15W (mode 0): GPU up to 612 MHz",
        lambda patient: patient.tree.mode(0),
        lambda patient: patient.tree.mode(2),
    ),
    Case(
        "power",
        "warning",
        "7W (mode 3): 4 SMs off, GPU up to 408 MHz, 4 of 6 CPUs",
        lambda patient: patient.tree.mode(3),
        lambda patient: patient.tree.mode(2),
    ),
    Case("power", "warning", "nvpmodel -q", _gone("etc/nvpmodel.conf"), _back("etc/nvpmodel.conf")),
    Case(
        "clocks",
        "warning",
        "between 306 and 1020 MHz",
        lambda patient: patient.tree.clocks(patient.kind, 306_000_000),
        lambda patient: patient.tree.clocks(patient.kind, 1_020_000_000),
    ),
    Case(
        "load",
        "warning",
        "busy: 87%",
        lambda patient: patient.tree.clocks(patient.kind, 1_020_000_000, 873),
        lambda patient: patient.tree.clocks(patient.kind, 1_020_000_000, 12),
    ),
    Case(
        "temperature",
        "warning",
        "91 °C",
        lambda patient: patient.tree.write("sys/class/thermal/thermal_zone3/temp", "91000\n"),
        lambda patient: patient.tree.write("sys/class/thermal/thermal_zone3/temp", "61000\n"),
    ),
    Case(
        "memory",
        "warning",
        "0.5 of 8.0 GB",
        lambda patient: patient.tree.memory(7_802_784, 8_000_000, 500_000),
        lambda patient: patient.tree.memory(7_802_784, 8_000_000),
    ),
    Case(
        "memory",
        "warning",
        "mkswap",
        lambda patient: patient.tree.memory(7_802_784, 0),
        lambda patient: patient.tree.memory(7_802_784, 8_000_000),
    ),
    Case(
        "clock",
        "warning",
        "not synchronised",
        lambda patient: stub(patient.programs, "timedatectl", synchronised="no"),
        lambda patient: stub(patient.programs, "timedatectl", synchronised="yes"),
    ),
    Case("systemd", "warning", "did not start", _gone("run/systemd"), _back("run/systemd")),
    Case(
        "service",
        "error",
        "dreamvla@arm.service has failed after 5 restarts",
        lambda patient: (
            patient.tree.release("arm", "1"),
            stub(patient.programs, "systemctl", state="failed", restarts=5),
        ),
        lambda patient: stub(patient.programs, "systemctl", state="active", restarts=0),
    ),
    Case(
        "release arm",
        "error",
        "leads nowhere",
        lambda patient: (
            stub(patient.programs, "systemctl", state="active", restarts=0),
            patient.tree.release("arm", "1"),
            patient.tree.link("opt/dreamvla/arm/current", "releases/2"),
        ),
        lambda patient: patient.tree.release("arm", "1"),
    ),
    Case(
        "release arm",
        "error",
        "was installed for Python 3.10, and its",
        lambda patient: (
            stub(patient.programs, "systemctl", state="active", restarts=0),
            patient.tree.interpreter(
                patient.tree.release("arm", "1") / "releases/1/venv/bin/python", "3.12"
            ),
        ),
        lambda patient: patient.tree.release("arm", "1"),
    ),
    Case("serial", "error", "--device /dev/ttyACM0", _gone("dev/ttyACM0"), _back("dev/ttyACM0")),
    Case(
        "serial",
        "warning",
        "no serial adapter",
        lambda patient: [
            shutil.rmtree(patient.tree.root / path)
            for path in ("sys/bus/usb", "sys/class/tty", "dev/serial")
        ]
        + [(patient.tree.root / "dev/ttyACM0").unlink()],
        lambda patient: patient.tree.serial("ttyACM0", patient.arm),
    ),
    Case(
        "latency ttyUSB0",
        "warning",
        "16 ms",
        lambda patient: patient.tree.serial(
            "ttyUSB0", patient.other, "1-3", ("0403", "6014"), "ftdi_sio", 16, "usb-FTDI-if00"
        ),
        lambda patient: patient.tree.serial(
            "ttyUSB0", patient.other, "1-3", ("0403", "6014"), "ftdi_sio", 1, "usb-FTDI-if00"
        ),
    ),
    Case(
        "adapter 1a86:7523",
        "error",
        "sudo modprobe ch341",
        lambda patient: patient.tree.usb("1-3", "1a86", "7523", "USB Serial", ""),
        lambda patient: patient.tree.serial(
            "ttyUSB0", patient.other, "1-3", ("1a86", "7523"), "ch341", None, "usb-1a86-if00"
        ),
    ),
    Case(
        "adapter 1a86:7523",
        "error",
        "sudo apt remove brltty",
        lambda patient: (
            patient.tree.debs({"brltty": "6.4-4ubuntu3"}),
            patient.tree.usb("1-3", "1a86", "7523", "USB Serial", "usbfs"),
        ),
        lambda patient: patient.tree.serial(
            "ttyUSB0", patient.other, "1-3", ("1a86", "7523"), "ch341", None, "usb-1a86-if00"
        ),
    ),
    Case(
        "alike ttyUSB1",
        "warning",
        "by-path/platform-usb-0:1-4:1.0",
        lambda patient: (
            patient.tree.serial(
                "ttyUSB0", patient.other, "1-3", ("1a86", "7523"), "ch341", None, "usb-1a86-if00"
            ),
            patient.tree.serial(
                "ttyUSB1", patient.top, "1-4", ("1a86", "7523"), "ch341", None, None
            ),
        ),
        lambda patient: patient.tree.link("dev/serial/by-id/usb-1a86-2-if00", "../../ttyUSB1"),
    ),
    Case(
        "cameras",
        "warning",
        "1 camera",
        _gone("sys/class/video4linux/video2"),
        _back("sys/class/video4linux/video2"),
    ),
    Case(
        "cameras alike",
        "warning",
        "by-path/platform-usb-0:2-2:1.0-video-index0",
        lambda patient: patient.tree.camera(0, patient.top, "2-1", "Wrist Camera"),
        lambda patient: patient.tree.camera(0, patient.top, "2-1", "Table Camera"),
    ),
    Case(
        "camera hub",
        "warning",
        "socket 2-3",
        lambda patient: (
            patient.tree.camera(0, patient.top, "2-3.1", "Table Camera"),
            patient.tree.camera(2, patient.wrist, "2-3.2", "Wrist Camera"),
        ),
        lambda patient: patient.tree.camera(2, patient.wrist, "2-2", "Wrist Camera"),
    ),
)  # fmt: skip
