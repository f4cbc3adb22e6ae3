"""Serial ports of this machine: their lasting names and their USB adapters."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

DEV, SYS = Path("/dev"), Path("/sys")


@dataclass(frozen=True)
class Adapter:
    """A USB serial adapter.

    device: as the kernel named it today; port: the name from /dev/serial/by-id, which lasts, or
    the device again; vendor, product: four hexadecimal digits; serial: empty if it has none;
    driver: of the kernel, as `cdc_acm`, `ch341` or `ftdi_sio`.
    """

    device: str
    port: str
    vendor: str
    product: str
    serial: str
    driver: str


def adapters() -> tuple[Adapter, ...]:
    """Every USB serial adapter that is connected, in the order of the devices' names."""
    lasting = {str(link.resolve()): str(link) for link in sorted(DEV.glob("serial/by-id/*"))}
    found = []
    for entry in sorted(SYS.glob("class/tty/*")):
        interface = (entry / "device").resolve()
        usb = next((p for p in interface.parents if (p / "idVendor").is_file()), None)
        if usb is None:
            continue
        device = str(DEV / entry.name)
        found.append(
            Adapter(
                device,
                lasting.get(str(Path(device).resolve()), device),
                _line(usb / "idVendor"),
                _line(usb / "idProduct"),
                _line(usb / "serial"),
                (interface / "driver").resolve().name,
            )
        )
    return tuple(found)


def udev_rule(adapter: Adapter, name: str) -> str:
    """Rules that let the group dialout open an adapter and name it /dev/dreamvla-<name>.

    An FTDI chip holds received bytes back for up to 16 ms; the second rule makes that 1 ms.
    """
    match = ", ".join(
        f'ATTRS{{{key}}}=="{_pattern(value)}"'
        for key, value in (
            ("idVendor", adapter.vendor),
            ("idProduct", adapter.product),
            ("serial", adapter.serial),
        )
        if value
    )
    link = re.sub(r"[^A-Za-z0-9_-]", "-", name)
    alike = "" if adapter.serial else ", and every other of its kind: it has no serial number"
    lines = [
        f"# {adapter.device} of the robot {link}{alike}",
        f'SUBSYSTEM=="tty", {match}, MODE="0660", GROUP="dialout", SYMLINK+="dreamvla-{link}"',
    ]
    if adapter.driver == "ftdi_sio":
        lines.append(
            f'ACTION=="add", SUBSYSTEM=="usb-serial", DRIVER=="ftdi_sio", {match},'
            ' ATTR{latency_timer}="1"'
        )
    return "\n".join(lines) + "\n"


def _line(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""


def _pattern(value: str) -> str:
    """A value as udev matches it; whatever could end or widen the pattern matches one character."""
    return re.sub(r"[^A-Za-z0-9._:/ -]", "?", value)
