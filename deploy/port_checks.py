"""Serial ports and cameras: absent, not allowed, taken, slow, alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from dreamvla_edge.deploy.facts import Camera, Facts, Node, SerialPort
from dreamvla_edge.deploy.finding import Finding

ARM_VERBS = ("run", "arm", "record")
CAMERA_VERBS = ("run", "camera", "record")
DRIVERS = {
    **dict.fromkeys(("1a86:7522", "1a86:7523", "1a86:5523"), "ch341"),
    **dict.fromkeys(("0403:6001", "0403:6010", "0403:6011", "0403:6014", "0403:6015"), "ftdi_sio"),
    **dict.fromkeys(("10c4:ea60", "10c4:ea70"), "cp210x"),
    **dict.fromkeys(("067b:2303", "067b:23a3"), "pl2303"),
    "1a86:55d3": "cdc_acm",
}
"""USB vendor and product of serial adapters → the kernel's driver (its tables of devices)."""
MAX_LATENCY_MS = 1
"""An FTDI chip comes with 16 ms: 62 questions a second at most, where the guardian asks 100."""


def serial(facts: Facts) -> Iterator[Finding]:
    """Every port an arm can hang on."""
    ports = facts.serial or ()
    hidden = sorted({name for adapter in facts.adapters or () for name in adapter.ports})
    if not ports and hidden:
        yield Finding(
            "serial",
            "error",
            f"the kernel has {', '.join(hidden)}, but /dev has not",
            "a node for every port",
            f"in a container: start it with --device /dev/{hidden[0]}; else sudo udevadm trigger",
            ARM_VERBS,
        )
    elif not ports and not facts.adapters:
        yield Finding(
            "serial",
            "warning",
            "no serial adapter is connected",
            "an arm's USB cable",
            "connect and power the arm; without one: dreamvla arm virtual",
            ARM_VERBS,
        )
    for port in ports:
        yield from _port(port, facts)
    for adapter in facts.adapters or ():
        if not adapter.ports:
            yield _without_port(adapter.usb, adapter.product, adapter.driver, facts)
    yield from _same_name(ports)


def _port(port: SerialPort, facts: Facts) -> Iterator[Finding]:
    name = f"serial {_short(port)}"
    taken = next((holder for holder in port.holders), "")
    if not port.usable:
        yield _refused(name, port, "dialout", facts, ARM_VERBS)
    elif "ModemManager" in taken:
        yield Finding(
            name,
            "error",
            f"{port.node} is probed by ModemManager, process {taken}",
            "a port that only the arm's program opens",
            "sudo systemctl disable --now ModemManager",
            ARM_VERBS,
        )
    elif taken:
        yield Finding(
            name,
            "warning",
            f"{port.node} is used by process {', '.join(port.holders)}",
            "a free port, unless this is the policy that shall run",
            "stop that program",
            ARM_VERBS,
        )
    else:
        yield Finding(name, "ok", f"{port.node}, {port.driver}", verbs=ARM_VERBS)
    if port.latency_ms is not None and port.latency_ms > MAX_LATENCY_MS:
        yield Finding(
            f"latency {_short(port)}",
            "warning",
            f"the adapter holds bytes back for {port.latency_ms} ms",
            f"{MAX_LATENCY_MS} ms",
            "dreamvla robot init --udev-rule 99-dreamvla.rules writes the rule;"
            " sudo cp it to /etc/udev/rules.d and connect the adapter again",
            ARM_VERBS,
        )


def _without_port(usb: str, product: str, driver: str, facts: Facts) -> Finding:
    """An adapter that no driver has made a port of."""
    name, said = f"adapter {usb}", f"{product or 'an adapter'} ({usb}) has no serial port"
    if "brltty" in (facts.programs or ()) or "brltty" in (facts.debs or {}):
        return Finding(
            name,
            "error",
            f"{said}: brltty takes it for a Braille display",
            "a port /dev/ttyUSB0",
            "sudo apt remove brltty, then connect the adapter again",
            ARM_VERBS,
        )
    module = DRIVERS.get(usb)
    if driver or module is None:
        cure = "connect it again; look with `sudo dmesg`"
    else:
        cure = (
            f"sudo modprobe {module}; if the kernel has no such module (Jetson Linux has none for"
            " CH340 and PL2303), build it or use another adapter, such as one with cdc_acm"
        )
    return Finding(name, "error", said, f"the driver {module or driver}", cure, ARM_VERBS)


def _same_name(ports: tuple[SerialPort, ...]) -> Iterator[Finding]:
    """Adapters without a serial number of their own share one name in by-id."""
    unnamed = [port for port in ports if not any("by-id" in link for link in port.links)]
    kinds = Counter(port.usb for port in ports)
    for port in unnamed:
        if port.usb and kinds[port.usb] > 1:
            lasting = next((link for link in port.links if "by-path" in link), port.node)
            yield Finding(
                f"alike {_short(port)}",
                "warning",
                f"{port.node} has no name of its own: {kinds[port.usb]} adapters are {port.usb}",
                "one lasting name for each",
                f"name it by its socket in robot.toml: {lasting}",
                ARM_VERBS,
            )


def cameras(facts: Facts) -> Iterator[Finding]:
    """A policy looks through two, each of its own name."""
    found = facts.cameras or ()
    if len(found) < 2:
        yield Finding(
            "cameras",
            "warning",
            f"{len(found) or 'no'} camera{'' if len(found) == 1 else 's'}",
            "two: one that sees the table, one at the wrist",
            "connect them; without: simulated ones (dreamvla robot init --virtual)",
            CAMERA_VERBS,
        )
    for camera in found:
        yield from _camera(camera, facts)
    yield from _alike(found)
    yield from _one_hub(found)
    if any(_on_board(camera) for camera in found) and "nvargus-daemon" not in (
        facts.programs or ()
    ):
        yield Finding(
            "argus",
            "error",
            "nvargus-daemon does not run, which reads cameras on the board's connector",
            "the daemon of JetPack's multimedia packages",
            "sudo systemctl restart nvargus-daemon",
            CAMERA_VERBS,
        )


def _camera(camera: Camera, facts: Facts) -> Iterator[Finding]:
    name = f"camera {_short(camera)}"
    if not camera.usable:
        yield _refused(name, camera, "video", facts, CAMERA_VERBS)
    elif camera.holders:
        yield Finding(
            name,
            "warning",
            f"{camera.name} is used by process {', '.join(camera.holders)}",
            "a free camera, unless this is the policy that shall run",
            "stop that program",
            CAMERA_VERBS,
        )
    else:
        yield Finding(name, "ok", f"{camera.name}, {camera.driver}", verbs=CAMERA_VERBS)


def _alike(found: tuple[Camera, ...]) -> Iterator[Finding]:
    """Two of one make cannot be told apart by name, and nodes change places."""
    for name, count in Counter(camera.name for camera in found if not _on_board(camera)).items():
        if count < 2:
            continue
        paths = [
            next((link for link in camera.links if "by-path" in link), camera.node)
            for camera in found
            if camera.name == name
        ]
        yield Finding(
            "cameras alike",
            "warning",
            f"{count} cameras are called {name}",
            "names in robot.toml that tell them apart",
            f"name them by their sockets, and leave them there: {', '.join(paths)}",
            CAMERA_VERBS,
        )


def _one_hub(found: tuple[Camera, ...]) -> Iterator[Finding]:
    """Two streams without compression are more than one USB 2 hub carries."""
    hubs = Counter(camera.socket.rpartition(".")[0] for camera in found if "." in camera.socket)
    for hub, count in hubs.items():
        if count > 1:
            yield Finding(
                "camera hub",
                "warning",
                f"{count} cameras share the hub in USB socket {hub}",
                "a socket of the machine for each, unless both send MJPEG",
                "connect one elsewhere, or let both send MJPEG (robot.toml: options = { fourcc ="
                ' "MJPG" }); `dreamvla robot check` counts the frames',
                CAMERA_VERBS,
            )


def _refused(name: str, node: Node, group: str, facts: Facts, verbs: tuple[str, ...]) -> Finding:
    """A node that this user may not open, and whether a new login would help."""
    wanted = node.group if node.group not in ("", "root") else group
    if node.group != wanted:
        cure = "sudo udevadm trigger; if it stays so, write a udev rule that sets the group"
        if group == "dialout":
            cure += ": dreamvla robot init --udev-rule 99-dreamvla.rules"
    elif facts.user is not None and wanted in facts.user.at_login:
        cure = "log out and in again: this login is older than the user's group"
    else:
        cure = f"sudo usermod -aG {wanted} $USER, then log in again"
    found = f"this user may not open {node.node} (group {node.group}, mode {node.mode})"
    return Finding(name, "error", found, f"membership in the group {wanted}", cure, verbs)


def _short(node: Node) -> str:
    return node.node.rpartition("/")[2]


def _on_board(camera: Camera) -> bool:
    """One on the board's own connector, which the kernel reads through its video input."""
    return camera.name.startswith("vi-output") or "tegra" in camera.driver
