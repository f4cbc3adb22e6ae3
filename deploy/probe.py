"""Raw facts about the machine that runs this file: one JSON document on stdout, never an error.

Only the standard library of Python 3.8 or later, so that a board that has nothing of ours can run
it from a pipe: `ssh HOST python3 - PLACE… < probe.py`. Places: folders whose free space matters;
without any, those that are installed to. A fact that cannot be had is null, and `missing` says
why. Nothing is changed, opened for writing or sent; `deploy/facts.py` has what each fact means.

Sources: NVIDIA's Jetson Linux Developer Guide, "Power Management" (nvpmodel.conf, its status file,
devfreq nodes); Linux's Documentation/ABI for /sys; CUDA Driver API (device attributes).
"""

from __future__ import annotations

import grp
import importlib.metadata
import importlib.util
import json
import os
import platform
import pwd
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SCHEMA = 1
PLACES = ("/opt/dreamvla", "~/.local/share/dreamvla", "~/.cache/dreamvla-edge", "/tmp")
TIMEOUT_S = 10
"""For each program that is asked."""
ACCELERATORS = ("nvmap", "nvhost-gpu", "nvgpu/igpu0/ctrl", "nvidia0")
"""What CUDA opens: the first three on a Jetson, as its driver has them; the last on a PC and with
the driver of JetPack 7."""
PACKAGES = (
    *("dreamvla-edge", "click", "msgspec", "numpy", "onnxruntime", "pillow", "pyserial"),
    *("tokenizers", "tensorrt", "cuda-bindings", "pycuda", "torch", "onnx", "onnxscript"),
    *("safetensors", "mujoco", "h5py", "opencv-python-headless", "pyarrow", "av"),
    *("matplotlib", "tomli-w", "ray", "pip"),
)
DEBS = ("nvidia-jetpack", "nvidia-l4t-core", "python3-libnvinfer", "python3-venv", "brltty")
PROGRAMS = ("ModemManager", "brltty", "nvargus-daemon", "nvgetty.sh")
"""Programs that take ports, and the one that a camera on the board needs."""
ADAPTERS = ("1a86", "0403", "10c4", "067b")
"""USB vendors of serial adapters: WCH, FTDI, Silicon Labs, Prolific."""


class NotHere(Exception):
    """Why a fact cannot be had."""


def probe(places: Any = PLACES, root: Path = Path("/")) -> dict[str, Any]:
    """All facts. root: below it are the files of the machine that is asked about."""
    facts: dict[str, Any] = {"schema": SCHEMA}
    missing: dict[str, str] = {}
    disk = {"disk": lambda root: [_space(place, root) for place in places]}
    for name, look in {**FACTS, **disk}.items():
        try:
            facts[name] = look(root)
        except Exception as error:  # whatever it is: the other facts are wanted all the same
            facts[name] = None
            why = str(error) if isinstance(error, NotHere) else f"{type(error).__name__}: {error}"
            missing[name] = why
    facts["missing"] = missing
    return facts


def board(root: Path) -> dict[str, Any]:
    """Of the device tree: a PC has none."""
    tree = root / "proc/device-tree"  # usually a link to the other
    tree = tree if tree.exists() else root / "sys/firmware/devicetree/base"
    return {
        "model": _text(tree / "model").rstrip("\0"),
        "compatible": [name for name in _text(tree / "compatible").split("\0") if name],
    }


def l4t(root: Path) -> str:
    """Version of Jetson Linux, such as 36.4.3."""
    line = _text(root / "etc/nv_tegra_release")
    found = re.search(r"R(\d+)\s*\(release\),\s*REVISION:\s*([\d.]+)", line)
    if found is None:
        raise NotHere(f"/etc/nv_tegra_release begins with {line[:60]!r}")
    return ".".join(found.groups())


def system(root: Path) -> dict[str, Any]:
    """Operating system, processor and kernel."""
    release = re.search(r'^PRETTY_NAME="?([^"\n]*)', _text(root / "etc/os-release"), re.M)
    return {
        "name": release.group(1) if release else "",
        "machine": platform.machine(),
        "bits": 64 if sys.maxsize > 2**32 else 32,  # a 32-bit Python runs under a 64-bit kernel
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
        "cpus_online": _text(root / "sys/devices/system/cpu/online", "").strip(),
        "cpus_possible": _text(root / "sys/devices/system/cpu/possible", "").strip(),
    }


def python(root: Path) -> dict[str, Any]:
    """The Python that runs this; Debian's has ensurepip only with python3-venv."""
    return {
        "version": platform.python_version(),
        "path": sys.executable,
        "ensurepip": importlib.util.find_spec("ensurepip") is not None,
    }


def tensorrt(root: Path) -> dict[str, Any]:
    """Python's binding and the library, each as far as it is there."""
    libraries = _libraries(root, "libnvinfer.so")
    binding = _version("tensorrt")
    if binding is None and not libraries:
        raise NotHere("neither a Python package tensorrt nor libnvinfer.so")
    return {"binding": binding, "library": libraries[-1] if libraries else None}


def cuda(root: Path) -> dict[str, Any]:
    """The toolkit, and which of its compilers is there."""
    home = root / "usr/local/cuda"
    said = json.loads(_text(home / "version.json"))
    version = (said.get("cuda") or said["cuda_cudart"])["version"]
    nvcc = os.access(home / "bin/nvcc", os.X_OK)
    return {"version": version, "path": os.path.realpath(home), "nvcc": nvcc}


def cudnn(root: Path) -> str:
    """By the file name of its library: libcudnn.so.9.3.0 is 9.3.0."""
    libraries = _libraries(root, "libcudnn.so")
    if not libraries:
        raise NotHere("no libcudnn.so")
    return libraries[-1].partition(".so.")[2]


def gpu(root: Path) -> dict[str, Any]:
    """What CUDA's driver says, asked in a process of its own as a broken driver may hang."""
    nodes = [root / "dev" / name for name in ACCELERATORS if (root / "dev" / name).exists()]
    if not nodes:
        raise NotHere(f"none of /dev/{{{','.join(ACCELERATORS)}}}")
    usable = all(os.access(node, os.R_OK | os.W_OK) for node in nodes)
    found = {"nodes": [str(node) for node in nodes], "usable": usable, "cuda": None, "problem": ""}
    try:
        found["cuda"] = json.loads(_said(sys.executable, "-I", "-c", _ASK_CUDA))
    except (NotHere, ValueError) as error:
        found["problem"] = str(error)
    return found


_ASK_CUDA = """
import ctypes, json, sys
try:
    cuda = ctypes.CDLL("libcuda.so.1")
except OSError as error:
    sys.exit(str(error))
def attribute(number):
    value = ctypes.c_int()
    cuda.cuDeviceGetAttribute(ctypes.byref(value), number, device)
    return value.value
code, device, name = cuda.cuInit(0), ctypes.c_int(), ctypes.create_string_buffer(100)
code = code or cuda.cuDeviceGet(ctypes.byref(device), 0)
if code:
    sys.exit("CUDA's driver answers with error %d" % code)
version, memory = ctypes.c_int(), ctypes.c_size_t()
cuda.cuDriverGetVersion(ctypes.byref(version))
cuda.cuDeviceGetName(name, 100, device)
cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
print(json.dumps({
    "name": name.value.decode(),
    "driver": "%d.%d" % (version.value // 1000, version.value % 1000 // 10),
    "architecture": "%d.%d" % (attribute(75), attribute(76)),
    "multiprocessors": attribute(16),
    "bytes": memory.value,
}))
"""


def memory(root: Path) -> dict[str, int]:
    """[byte]"""
    said = dict(re.findall(r"^(\w+):\s+(\d+) kB", _text(root / "proc/meminfo"), re.M))
    names = {"total": "MemTotal", "available": "MemAvailable", "swap": "SwapTotal"}
    return {name: int(said[line]) * 1024 for name, line in names.items()}


def _space(place: str, root: Path) -> dict[str, Any]:
    """Of the file system on which a folder is or would be [byte]."""
    folder = root / os.path.expanduser(place).lstrip("/")
    while not folder.exists():
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    writable = os.access(folder, os.W_OK)
    return {"place": place, "free": usage.free, "total": usage.total, "writable": writable}


def power(root: Path) -> dict[str, Any]:
    """Modes of nvpmodel.conf, and the one that was chosen: of the status file, else of nvpmodel."""
    modes = _power_modes(_text(root / "etc/nvpmodel.conf"))
    kept = re.search(r"pmode:(\d+)", _text(root / "var/lib/nvpmodel/status", ""))
    if kept is None:
        kept = re.search(r"^\s*(\d+)\s*$", _said("nvpmodel", "-q"), re.M)
    if kept is None:
        raise NotHere("neither /var/lib/nvpmodel/status nor `nvpmodel -q` names a mode")
    return {"mode": int(kept.group(1)), "modes": modes}


def _power_modes(text: str) -> list[dict[str, Any]]:
    """cpus: switched on; gpu_hz: the GPU's highest clock, mask: of TPCs switched off.

    -1 and a missing line mean that a mode does not limit it.
    """
    modes = []
    for block in re.split(r"^<\s*POWER_MODEL\s+", text, flags=re.M)[1:]:
        head = re.match(r"ID=(\d+)\s+NAME=(\S+)\s*>", block)
        if head is None:
            continue
        lines = re.findall(r"^\s*(\w+)\s+(\w+)\s+(-?\w+)\s*$", block.partition("\n<")[0], re.M)
        said = {(parameter, name): value for parameter, name, value in lines}
        cores = [said[key] for key in said if key[0] == "CPU_ONLINE"]
        modes.append(
            {
                "id": int(head.group(1)),
                "name": head.group(2),
                "cpus": cores.count("1"),
                "gpu_hz": int(said.get(("GPU", "MAX_FREQ"), -1)),
                "mask": int(said.get(("TPC_POWER_GATING", "TPC_PG_MASK"), "0"), 0),
            }
        )
    return modes


def clocks(root: Path) -> dict[str, Any]:
    """Of the GPU [Hz]; jetson_clocks makes its least the most. load: share that is busy."""
    folder = root / "sys/class/devfreq"
    for name in ("17000000.gpu", "17000000.ga10b", "gpu-gpc-0"):
        if (folder / name).exists():
            break
    else:
        raise NotHere("no GPU below /sys/class/devfreq")
    load = _text(folder / name / "device/load", "").strip()
    files = {"least": "min_freq", "most": "max_freq", "now": "cur_freq"}
    found: dict[str, Any] = {key: int(_text(folder / name / file)) for key, file in files.items()}
    found["load"] = int(load) / 1000 if load.isdigit() else None
    return found


def temperature(root: Path) -> float:
    """Of the hottest zone [°C]."""
    zones = (root / "sys/class/thermal").glob("thermal_zone*/temp")
    known = [_text(zone, "").strip() for zone in zones]  # a zone that is off cannot be read
    values = [int(text) for text in known if text.lstrip("-").isdigit()]
    if not values:
        raise NotHere("no thermal zone that can be read")
    return max(values) / 1000


def clock(root: Path) -> dict[str, Any]:
    """Time [s since 1970], and whether it is kept by a time server."""
    try:
        said = _said("timedatectl", "show", "-p", "NTPSynchronized", "--value").strip()
    except NotHere:  # no systemd
        said = ""
    return {"now": time.time(), "synchronised": {"yes": True, "no": False}.get(said)}


def user(root: Path) -> dict[str, Any]:
    """Groups of this process, and those that a new login would have."""
    name = pwd.getpwuid(os.getuid()).pw_name
    return {
        "root": os.geteuid() == 0,
        "groups": sorted(_group(number) for number in {os.getgid(), *os.getgroups()}),
        "at_login": sorted(group.gr_name for group in grp.getgrall() if name in group.gr_mem),
    }


def scheduling(root: Path) -> dict[str, Any]:
    """What Linux grants a process that must not be late; memlock -1 is endless [byte]."""
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        os.sched_setscheduler(0, policy, parameters)
        fifo = True
    except OSError:
        fifo = False
    return {
        "fifo": fifo,
        "rtprio": resource.getrlimit(resource.RLIMIT_RTPRIO)[0],
        "memlock": resource.getrlimit(resource.RLIMIT_MEMLOCK)[0],
    }


def serial(root: Path) -> list[dict[str, Any]]:
    """Ports of USB adapters. latency_ms: of the adapter's timer, where it has one."""
    links = _links(root / "dev/serial")
    found = []
    for pattern in ("ttyACM*", "ttyUSB*"):
        for node in sorted((root / "dev").glob(pattern), key=_natural):
            device = root / "sys/class/tty" / node.name / "device"
            timer = _text(device / "latency_timer", "").strip()
            found.append(
                {
                    **_node(node, links),
                    "driver": _driver(device),
                    "usb": _usb(device),
                    "latency_ms": int(timer) if timer.isdigit() else None,
                }
            )
    return found


def adapters(root: Path) -> list[dict[str, Any]]:
    """USB serial adapters, with the driver that has them and the ports that came of it."""
    found = []
    for device in sorted((root / "sys/bus/usb/devices").glob("*")):
        vendor = _text(device / "idVendor", "").strip()
        if vendor not in ADAPTERS:
            continue
        interfaces = sorted(device.resolve().glob(f"{device.name}:*"))
        ports = [port.name for part in interfaces for port in part.glob("**/tty[AU]*[0-9]")]
        found.append(
            {
                "usb": _usb_id(device),
                "product": _text(device / "product", "").strip(),
                "driver": next((name for name in map(_driver, interfaces) if name), ""),
                "ports": sorted(set(ports)),
            }
        )
    return found


def cameras(root: Path) -> list[dict[str, Any]]:
    """Nodes that capture pictures; usb: the socket, as the kernel numbers it."""
    links = _links(root / "dev/v4l")
    found = []
    for folder in sorted((root / "sys/class/video4linux").glob("video*"), key=_natural):
        if _text(folder / "index", "0").strip() != "0":  # the metadata of the same camera
            continue
        device = folder / "device"
        found.append(
            {
                **_node(root / "dev" / folder.name, links),
                "name": _text(folder / "name", "").strip(),
                "driver": _driver(device),
                "usb": _usb(device),
                "socket": _socket(device),
            }
        )
    return found


def units(root: Path) -> list[dict[str, Any]]:
    """How our services are."""
    if not (root / "run/systemd/system").is_dir():
        raise NotHere("systemd did not start this machine")
    found = []
    for place in _installed(root):
        unit = f"dreamvla@{place.name}.service"
        said = dict(
            line.partition("=")[::2]
            for line in _said("systemctl", "show", "-p", "ActiveState,NRestarts", unit).split()
        )
        restarts = int(said.get("NRestarts", 0))
        found.append({"unit": unit, "state": said.get("ActiveState", ""), "restarts": restarts})
    return found


def systemd(root: Path) -> bool:
    """Whether it started this machine."""
    return (root / "run/systemd/system").is_dir()


def programs(root: Path) -> list[str]:
    """Those of PROGRAMS that run."""
    names = {_text(file, "").strip() for file in Path("/proc").glob("[0-9]*/comm")}
    return [name for name in PROGRAMS if name in names]


def debs(root: Path) -> dict[str, str]:
    """Versions of DEBS that dpkg has installed."""
    text = _text(root / "var/lib/dpkg/status")
    found = {}
    for name in DEBS:
        entry = re.search(rf"^Package: {re.escape(name)}\n(?:.+\n)*", text, re.M)
        if entry and re.search(r"^Status: .* installed$", entry.group(), re.M):
            version = re.search(r"^Version: (.*)$", entry.group(), re.M)
            found[name] = version.group(1) if version else ""
    return found


def packages(root: Path) -> dict[str, str]:
    """Versions of those of PACKAGES that this Python can import."""
    return {name: version for name in PACKAGES for version in [_version(name)] if version}


def releases(root: Path) -> list[dict[str, Any]]:
    """What flash has installed; current: null where the link leads nowhere.

    made: Pythons that the current one's packages are for; python: that which runs it, if any does.
    """
    found = []
    for place in _installed(root):
        current = place / "current"
        sites = sorted((current / "venv/lib").glob("python3*/site-packages"))
        versions = {
            item.metadata["Name"]: item.version
            for item in importlib.metadata.distributions(path=[str(site) for site in sites])
            if item.metadata["Name"] in PACKAGES
        }
        found.append(
            {
                "name": place.name,
                "place": str(place),
                "current": current.resolve().name if current.is_dir() else None,
                "releases": sorted(p.name for p in (place / "releases").glob("*") if p.is_dir()),
                "made": [site.parent.name[len("python") :] for site in sites],
                "python": _python(current / "venv/bin/python"),
                "packages": versions,
            }
        )
    return found


FACTS: dict[str, Any] = {
    look.__name__: look
    for look in (
        *(board, l4t, system, python, tensorrt, cuda, cudnn, gpu, memory, power, clocks),
        *(temperature, clock, user, scheduling, serial, adapters, cameras, systemd, units),
        *(programs, debs, packages, releases),
    )
}


def _installed(root: Path) -> list[Path]:
    """Folders that hold releases."""
    bases = (root / "opt/dreamvla", root / os.path.expanduser(PLACES[1]).lstrip("/"))
    return sorted(folder.parent for base in bases for folder in base.glob("*/releases"))


def _node(node: Path, links: dict[str, list[str]]) -> dict[str, Any]:
    """A device node: its lasting names, whether this user may use it, and who does."""
    device = os.path.realpath(node)
    try:
        group, mode = _group(node.stat().st_gid), node.stat().st_mode & 0o777
    except OSError:
        group, mode = "", 0
    return {
        "node": str(node),
        "links": links.get(device, []),
        "usable": os.access(node, os.R_OK | os.W_OK),
        "group": group,
        "mode": f"{mode:o}",
        "holders": [_program(process) for process in _holders(device)],
    }


def _links(folder: Path) -> dict[str, list[str]]:
    """Names in by-id and by-path below a folder, by the device that they lead to."""
    found: dict[str, list[str]] = {}
    for kind in ("by-id", "by-path"):
        for link in sorted((folder / kind).glob("*")):
            found.setdefault(os.path.realpath(link), []).append(str(link))
    return found


def _holders(device: str) -> Iterator[Path]:
    """Processes that have a device open, as far as this user can see."""
    for process in sorted(Path("/proc").glob("[0-9]*"), key=_natural):
        try:
            names = [os.readlink(process / "fd" / fd) for fd in os.listdir(process / "fd")]
        except OSError:  # another user's, or gone
            continue
        if device in names and process.name != str(os.getpid()):
            yield process


def _program(process: Path) -> str:
    """Number and the first words of the command, without paths and what may be secret."""
    words = _text(process / "cmdline", "").split("\0")[:3]
    return f"{process.name} ({' '.join(os.path.basename(word) for word in words if word)})"


def _driver(device: Path) -> str:
    link = device / "driver"
    return os.path.basename(os.path.realpath(link)) if link.is_symlink() else ""


def _usb(device: Path) -> str:
    """Vendor and product of the USB device that a node belongs to, such as 0403:6014."""
    for folder in (device.resolve(), *device.resolve().parents):
        if (folder / "idVendor").exists():
            return _usb_id(folder)
    return ""


def _usb_id(device: Path) -> str:
    return ":".join(_text(device / name, "").strip() for name in ("idVendor", "idProduct"))


def _socket(device: Path) -> str:
    """Such as 1-2.3: bus 1, port 2, and port 3 of the hub there."""
    for folder in (device.resolve(), *device.resolve().parents):
        if (folder / "idVendor").exists():
            return folder.name
    return ""


def _libraries(root: Path, name: str) -> list[str]:
    """Files of a shared library with a full version, where packages put it."""
    folders = ("usr/lib/aarch64-linux-gnu", "usr/lib/x86_64-linux-gnu", "usr/local/cuda/lib64")
    files = (file for folder in folders for file in (root / folder).glob(f"{name}.*.*"))
    return sorted((str(file) for file in files), key=lambda file: _natural(Path(file)))


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _natural(path: Path) -> list[Any]:
    """Sorts video2 before video10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def _text(file: Path, otherwise: str | None = None) -> str:
    """Of a file, without what is no UTF-8; NotHere, or `otherwise`, if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        if otherwise is None:
            raise NotHere(f"{file}: {error.strerror}") from error
        return otherwise


def _python(program: Path) -> str:
    """Its version, such as 3.10; empty if it cannot be run."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        return _said(str(program), "-I", "-S", "-c", code).strip()
    except NotHere:
        return ""


def _said(*command: str) -> str:
    """What a program writes; NotHere if it cannot be had in time."""
    program = shutil.which(command[0], path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if program is None:
        raise NotHere(f"no program {command[0]}")
    try:
        done = subprocess.run(
            [program, *command[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotHere(f"{command[0]}: {error}") from error
    if done.returncode:
        words = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise NotHere(f"{command[0]} failed: {words[-200:]}")
    return done.stdout.decode(errors="replace")


def main() -> None:
    """Prints the facts."""
    document = json.dumps(probe(sys.argv[1:] or PLACES), indent=1, ensure_ascii=False)
    # A file name that is no UTF-8 must not make the document unreadable.
    sys.stdout.buffer.write(document.encode("utf-8", "replace") + b"\n")


if __name__ == "__main__":
    main()
