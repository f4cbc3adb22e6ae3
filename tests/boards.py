"""Folders that look like Jetsons: the files by which `deploy/probe.py` knows a board.

Identity files, modes and paths are those of public records of such boards (`docs/doctor.md`);
devices hang in a small tree as the kernel lays it out below /sys.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mode:
    """Of nvpmodel.conf; gpu_hz -1: no limit."""

    name: str
    cpus: int
    gpu_hz: int
    mask: int


@dataclass(frozen=True)
class Kind:
    """A board as its JetPack leaves it."""

    model: str
    compatible: tuple[str, ...]
    release: str
    system: str
    cuda: str
    tensorrt: str
    cudnn: str
    cpus: int
    ram_kb: int
    modes: tuple[Mode, ...]
    best: int
    devfreq: str
    gpu_hz: tuple[int, int]


BOARDS = {
    "jetpack5": Kind(
        "NVIDIA Jetson Xavier NX Developer Kit",
        ("nvidia,p3509-0000+p3668-0000", "nvidia,tegra194"),
        "# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref, EABI: aarch64,"
        " DATE: Tue Aug  1 19:57:35 UTC 2023",
        "Ubuntu 20.04.6 LTS",
        "11.4.19",
        "8.5.2",
        "8.6.0",
        6,
        7_000_000,
        (Mode("MODE_15W_2CORE", 2, 1_109_250_000, 0), Mode("MODE_20W_6CORE", 6, -1, 0)),
        1,
        "17000000.gpu",
        (114_750_000, 1_109_250_000),
    ),
    "jetpack6": Kind(
        "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
        ("nvidia,p3768-0000+p3767-0005-super", "nvidia,p3767-0005", "nvidia,tegra234"),
        "# R36 (release), REVISION: 4.7, GCID: 42132812, BOARD: generic, EABI: aarch64,"
        " DATE: Thu Sep 18 22:54:44 UTC 2025",
        "Ubuntu 22.04.5 LTS",
        "12.6.11",
        "10.3.0",
        "9.3.0",
        6,
        7_802_784,
        (
            Mode("15W", 6, 612_000_000, 240),
            Mode("25W", 6, 918_000_000, 240),
            Mode("MAXN_SUPER", 6, -1, 240),
            Mode("7W", 4, 408_000_000, 252),
        ),
        2,
        "17000000.gpu",
        (306_000_000, 1_020_000_000),
    ),
    "jetpack7": Kind(
        "NVIDIA Jetson AGX Thor Developer Kit",
        ("nvidia,p4071-0000+p3834-0008", "nvidia,p3834-0008", "nvidia,tegra264"),
        "# R38 (release), REVISION: 2.2, GCID: 42205042, BOARD: generic, EABI: aarch64,"
        " DATE: Thu Sep 25 22:47:11 UTC 2025",
        "Ubuntu 24.04.3 LTS",
        "13.0.0",
        "10.13.3",
        "9.12.0",
        14,
        128_825_804,
        (Mode("MAXN", 14, -1, 0), Mode("120W", 12, 1_386_000_000, 0)),
        0,
        "gpu-gpc-0",
        (315_000_000, 1_575_000_000),
    ),
}


class Tree:
    """A root folder; every method plants one thing and may be called again to change it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, text: str | bytes) -> Path:
        """A file with this content."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    def link(self, path: str, target: str | Path) -> Path:
        """A symbolic link."""
        link = self.root / path.lstrip("/")
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        return link

    def board(self, kind: Kind) -> None:
        """In its fastest mode, with fixed clocks and everything of JetPack installed."""
        self.write("proc/device-tree/model", kind.model.encode() + b"\0")
        self.write("proc/device-tree/compatible", "\0".join((*kind.compatible, "")))
        self.write("etc/nv_tegra_release", f"{kind.release}\n# KERNEL_VARIANT: oot\n")
        self.write("etc/os-release", f'PRETTY_NAME="{kind.system}"\nNAME="Ubuntu"\n')
        self.write("usr/local/cuda/version.json", f'{{"cuda": {{"version": "{kind.cuda}"}}}}')
        self.write("usr/local/cuda/bin/nvcc", "").chmod(0o755)
        for name, version in (("libnvinfer", kind.tensorrt), ("libcudnn", kind.cudnn)):
            self.write(f"usr/lib/aarch64-linux-gnu/{name}.so.{version}", "")
        self.debs({"nvidia-jetpack": "6.2", "python3-libnvinfer": f"{kind.tensorrt}-1+cuda"})
        self.write("etc/nvpmodel.conf", nvpmodel_conf(kind))
        self.mode(kind.best)
        self.memory(kind.ram_kb, 8_000_000)
        self.clocks(kind, kind.gpu_hz[1])
        self.write("sys/class/thermal/thermal_zone0/temp", "48500\n")
        for core in range(kind.cpus):
            self.write(f"sys/devices/system/cpu/cpu{core}/online", "1\n")
        self.write("sys/devices/system/cpu/online", f"0-{kind.cpus - 1}\n")
        (self.root / "run/systemd/system").mkdir(parents=True)

    def mode(self, number: int) -> None:
        """As nvpmodel keeps it."""
        self.write("var/lib/nvpmodel/status", f"pmode:{number:04d}\n")

    def clocks(self, kind: Kind, least: int, load: int = 0) -> None:
        """Of the GPU [Hz]; load in thousandths."""
        folder = f"sys/class/devfreq/{kind.devfreq}"
        self.write(f"{folder}/min_freq", f"{least}\n")
        self.write(f"{folder}/max_freq", f"{kind.gpu_hz[1]}\n")
        self.write(f"{folder}/cur_freq", f"{least}\n")
        self.write(f"{folder}/device/load", f"{load}\n")

    def memory(self, total_kb: int, swap_kb: int, available_kb: int | None = None) -> None:
        """As in /proc/meminfo."""
        free = total_kb * 3 // 4 if available_kb is None else available_kb
        self.write(
            "proc/meminfo",
            f"MemTotal:       {total_kb} kB\nMemFree:         {free // 2} kB\n"
            f"MemAvailable:   {free} kB\nSwapTotal:      {swap_kb} kB\n",
        )

    def debs(self, versions: dict[str, str]) -> None:
        """Packages as dpkg keeps them, beside one that was removed."""
        entries = [
            f"Package: {name}\nStatus: install ok installed\nArchitecture: arm64\nVersion: {v}\n"
            for name, v in versions.items()
        ]
        removed = "Package: brltty\nStatus: deinstall ok config-files\nVersion: 6.4\n"
        self.write("var/lib/dpkg/status", "\n".join([*entries, removed]))

    def usb(self, socket: str, vendor: str, product: str, name: str, driver: str) -> Path:
        """A USB device with one interface; the interface's folder."""
        device = f"sys/devices/platform/usb1/{socket}"
        self.write(f"{device}/idVendor", f"{vendor}\n")
        self.write(f"{device}/idProduct", f"{product}\n")
        self.write(f"{device}/product", f"{name}\n")
        interface = self.root / device / f"{socket}:1.0"
        interface.mkdir(parents=True, exist_ok=True)
        if driver:
            self.link(f"{device}/{socket}:1.0/driver", f"/sys/bus/usb/drivers/{driver}")
        self.link(f"sys/bus/usb/devices/{socket}", self.root / device)
        return interface

    def serial(
        self,
        name: str,
        device: Path,
        socket: str = "1-2",
        ids: tuple[str, str] = ("1a86", "55d3"),
        driver: str = "cdc_acm",
        latency_ms: int | None = None,
        by_id: str | None = "usb-1a86_USB_Single_Serial_5A46-if00",
    ) -> None:
        """A port, which is another device in truth."""
        interface = self.usb(socket, *ids, "USB Single Serial", driver)
        inside = interface.relative_to(self.root)
        port = f"{inside}/tty/{name}"
        if name.startswith("ttyUSB"):
            port = f"{inside}/{name}"
            self.link(f"{port}/driver", f"/sys/bus/usb-serial/drivers/{driver}")
            self.link(f"sys/class/tty/{name}/device", self.root / port)
            if latency_ms is not None:
                self.write(f"{port}/latency_timer", f"{latency_ms}\n")
        else:
            (self.root / port).mkdir(parents=True, exist_ok=True)
            self.link(f"sys/class/tty/{name}/device", interface)
        self.link(f"dev/{name}", device)
        if by_id is not None:
            self.link(f"dev/serial/by-id/{by_id}", f"../../{name}")
        self.link(f"dev/serial/by-path/platform-usb-0:{socket}:1.0", f"../../{name}")

    def camera(
        self,
        number: int,
        device: Path,
        socket: str,
        name: str = "HD USB Camera",
        driver: str = "uvcvideo",
    ) -> None:
        """Two nodes as a UVC camera has them: pictures and metadata."""
        interface = self.usb(socket, "32e4", "9230", name, driver)
        for index in (0, 1):
            folder = f"sys/class/video4linux/video{number + index}"
            self.write(f"{folder}/name", f"{name}\n")
            self.write(f"{folder}/index", f"{index}\n")
            self.link(f"{folder}/device", interface)
            self.link(f"dev/video{number + index}", device)
        link = f"dev/v4l/by-path/platform-usb-0:{socket}:1.0-video-index0"
        self.link(link, f"../../video{number}")

    def release(self, name: str, number: str, current: bool = True) -> Path:
        """What flash installs; its folder."""
        folder = self.root / "opt/dreamvla" / name
        site = f"opt/dreamvla/{name}/releases/{number}/venv/lib/python3.10/site-packages"
        self.write(
            f"{site}/dreamvla_edge-0.1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: dreamvla-edge\nVersion: 0.1.0\n",
        )
        self.interpreter(folder / "releases" / number / "venv/bin/python", "3.10")
        if current:
            self.link(f"opt/dreamvla/{name}/current", f"releases/{number}")
        return folder

    def interpreter(self, path: Path, version: str) -> None:
        """A program that says it is this Python."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\necho {version}\n")
        path.chmod(0o755)


def nvpmodel_conf(kind: Kind) -> str:
    """In the form of the files that JetPack brings, shortened to one clock of each sort."""
    lines = [
        "# Definitions come first and use the same words as the modes.",
        "< PARAM TYPE=FILE NAME=CPU_ONLINE >",
        *(f"CORE_{i} /sys/devices/system/cpu/cpu{i}/online" for i in range(kind.cpus)),
        "< PARAM TYPE=CLOCK NAME=GPU >",
        "MAX_FREQ /sys/devices/17000000.gpu/devfreq_dev/max_freq",
        "",
    ]
    for number, mode in enumerate(kind.modes):
        cores = (f"CPU_ONLINE CORE_{i} {int(i < mode.cpus)}" for i in range(kind.cpus))
        lines += [
            f"< POWER_MODEL ID={number} NAME={mode.name} >",
            *cores,
            f"TPC_POWER_GATING TPC_PG_MASK {mode.mask}",
            "GPU MIN_FREQ 0",
            f"GPU MAX_FREQ {mode.gpu_hz}",
            "EMC MAX_FREQ 0",
            "",
        ]
    return "\n".join([*lines, f"< PM_CONFIG DEFAULT={kind.best} >", ""])


STUBS = {
    "nvpmodel": {"-q": "NV Power Mode: {mode}\n{number}\n"},
    "timedatectl": {"show -p NTPSynchronized --value": "{synchronised}\n"},
    "systemctl": {
        "show -p ActiveState,NRestarts dreamvla@arm.service": (
            "NRestarts={restarts}\nActiveState={state}\n"
        )
    },
}
"""Program → arguments → what it writes, as recorded; other arguments fail."""


def stub(folder: Path, name: str, **values: object) -> None:
    """A program that answers what was recorded and fails on arguments that were not."""
    cases = "".join(
        f'  "{arguments}") printf %s {_quoted(text.format(**values))} ;;\n'
        for arguments, text in STUBS[name].items()
    )
    file = folder / name
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text(
        f'#!/bin/sh\ncase "$*" in\n{cases}  *) echo "{name}: unknown: $*" >&2; exit 64 ;;\nesac\n'
    )
    os.chmod(file, 0o755)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
