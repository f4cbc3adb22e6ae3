"""What a Jetson is and brings: board, JetPack, Python, TensorRT, CUDA, GPU, power, clocks."""

from __future__ import annotations

from collections.abc import Iterator

from dreamvla_edge.deploy.facts import Facts, PowerMode
from dreamvla_edge.deploy.finding import Finding
from dreamvla_edge.deploy.jetpack import jetpack_of, known, numbers

PROCESSORS = {"nvidia,tegra234": "Orin", "nvidia,tegra264": "Thor"}
"""By the device tree's name."""
GPU_VERBS = ("build", "profile", "run")
OLDEST_TENSORRT = "10.3"
BUSY = 0.2
"""Share of the GPU that somebody else may use while figures are taken."""
HOT_C = 85.0
"""Orin and Thor lower their clocks from about 95 °C on; this is 10 less."""


def board(facts: Facts) -> Iterator[Finding]:
    """Whether it is a Jetson that this version supports."""
    verbs = ("flash", *GPU_VERBS)
    if facts.board is None or not is_jetson(facts):
        name = "a machine" if facts.system is None else f"{facts.system.name}"
        yield Finding(
            "board",
            "warning",
            f"no Jetson: {name}{'' if facts.board is None else f' on {facts.board.model}'}",
            "a Jetson Orin or Thor",
            "go on here with ONNX Runtime; for a robot, flash a Jetson",
            verbs,
        )
        return
    if not any(name in PROCESSORS for name in facts.board.compatible):
        chip = facts.board.compatible[-1] if facts.board.compatible else "unknown processor"
        yield Finding(
            "board",
            "error",
            f"{facts.board.model} ({chip})",
            "a Jetson Orin or Thor",
            "use a supported board: this one has no JetPack 6",
            verbs,
        )
        return
    yield Finding("board", "ok", facts.board.model, verbs=verbs)


def is_jetson(facts: Facts) -> bool:
    """By its device tree, or by the file that Jetson Linux leaves."""
    tree = () if facts.board is None else facts.board.compatible
    return facts.l4t is not None or any("tegra" in name for name in tree)


def system(facts: Facts) -> Iterator[Finding]:
    """Processors that every package has wheels for."""
    if facts.system is None:
        return
    if facts.system.machine not in ("aarch64", "x86_64") or facts.system.bits != 64:
        yield Finding(
            "system",
            "error",
            f"{facts.system.bits}-bit {facts.system.machine}",
            "64-bit aarch64 or x86_64",
            "install a 64-bit system",
            ("flash", "run"),
        )
    else:
        found = f"{facts.system.name}, {facts.system.machine}, kernel {facts.system.kernel}"
        yield Finding("system", "ok", found, verbs=("flash", "run"))


def jetpack(facts: Facts) -> Iterator[Finding]:
    """6.1 is the first with TensorRT 10.3."""
    if not is_jetson(facts):
        return
    verbs = ("flash", *GPU_VERBS)
    wanted = "JetPack 6.1 (L4T 36.4) or later"
    if facts.l4t is None:
        why = facts.missing.get("l4t", "")
        yield Finding("jetpack", "warning", f"unknown: {why}", wanted, "install JetPack", verbs)
        return
    release = jetpack_of(facts.l4t)
    found = f"L4T {facts.l4t}" + ("" if release is None else f", JetPack {release.version}")
    if numbers(facts.l4t) < (36, 4):
        cure = "install JetPack 6.1 or later with NVIDIA's SDK Manager, or update with apt"
        yield Finding("jetpack", "error", found, wanted, cure, verbs)
    elif not known(facts.l4t):
        yield Finding(
            "jetpack",
            "warning",
            f"L4T {facts.l4t}",
            "a version that this release knows (up to L4T 39.2.2)",
            "look for a newer dreamvla-edge; then check with `dreamvla verify`",
            verbs,
        )
    else:
        yield Finding("jetpack", "ok", found, verbs=verbs)


def python(facts: Facts) -> Iterator[Finding]:
    """Which one, and whether it can make virtual environments."""
    if facts.python is None:
        return
    verbs = ("flash", "run")
    if numbers(facts.python.version) < (3, 10):
        yield Finding(
            "python",
            "error",
            f"Python {facts.python.version}",
            "Python 3.10 or later",
            "install JetPack 6.1 or later" if is_jetson(facts) else "install a newer Python",
            verbs,
        )
        return
    release = None if facts.l4t is None else jetpack_of(facts.l4t)
    mine = ".".join(facts.python.version.split(".")[:2])
    if release is not None and mine != release.python:
        yield Finding(
            "python",
            "warning",
            f"Python {facts.python.version}",
            f"Python {release.python}: JetPack {release.version} has TensorRT for no other",
            f"make the environment with `python{release.python} -m venv --system-site-packages`",
            GPU_VERBS,
        )
    else:
        yield Finding("python", "ok", f"Python {facts.python.version}", verbs=verbs)
    if not facts.python.ensurepip:
        yield Finding(
            "venv",
            "error",
            "Python cannot make virtual environments",
            "the package python3-venv",
            "sudo apt install python3-venv",
            ("flash",),
        )


def tensorrt(facts: Facts) -> Iterator[Finding]:
    """Its library and Python's binding; a machine without NVIDIA's GPU needs none."""
    if not (is_jetson(facts) or facts.gpu):
        return
    wanted = f"TensorRT {OLDEST_TENSORRT} or later, with Python's package"
    found, package = facts.tensorrt, (facts.debs or {}).get("python3-libnvinfer")
    if found is None or found.binding is None:
        said = "no TensorRT" if found is None else f"{found.library}, which Python cannot import"
        cure = "sudo apt install nvidia-jetpack"
        if package:
            said = f"TensorRT {package}, which this Python cannot import"
            cure = "make the virtual environment with --system-site-packages"
        elif found is not None:
            cure = "sudo apt install python3-libnvinfer"
        elif not is_jetson(facts):
            cure = "pip install tensorrt, or go on with ONNX Runtime on the CPU"
        slow = f"{said}: bundles run on the CPU through ONNX Runtime"
        yield Finding("tensorrt", "warning", slow, wanted, cure, GPU_VERBS)
    elif numbers(found.binding) < numbers(OLDEST_TENSORRT):
        cure = "install JetPack 6.1 or later"
        yield Finding("tensorrt", "error", f"TensorRT {found.binding}", wanted, cure, GPU_VERBS)
    else:
        yield Finding("tensorrt", "ok", f"TensorRT {found.binding}", verbs=GPU_VERBS)


def cuda(facts: Facts) -> Iterator[Finding]:
    """The toolkit, whose compiler builds our kernels."""
    if not (is_jetson(facts) or facts.gpu):
        return
    if facts.cuda is None or not facts.cuda.nvcc:
        yield Finding(
            "cuda",
            "warning",
            "no CUDA toolkit" if facts.cuda is None else f"CUDA {facts.cuda.version} without nvcc",
            "nvcc, which compiles the kernels",
            "sudo apt install nvidia-jetpack",
            ("build", "run"),
        )
    else:
        cudnn = "" if facts.cudnn is None else f", cuDNN {facts.cudnn}"
        yield Finding("cuda", "ok", f"CUDA {facts.cuda.version}{cudnn}", verbs=("build", "run"))


def gpu(facts: Facts) -> Iterator[Finding]:
    """Whether it answers this user."""
    if facts.gpu is None:
        if is_jetson(facts):
            why = facts.missing.get("gpu", "")
            cure = "look with `sudo dmesg | grep -i nvgpu`; in a container, start it with the GPU"
            yield Finding("gpu", "warning", f"no GPU: {why}", "the board's GPU", cure, GPU_VERBS)
        return
    nodes = ", ".join(facts.gpu.nodes)
    if not facts.gpu.usable:
        yield Finding(
            "gpu",
            "error",
            f"this user may not open {nodes}",
            "rights to read and write it",
            "sudo usermod -aG video,render $USER, then log in again",
            GPU_VERBS,
        )
    elif facts.gpu.cuda is None:
        yield Finding(
            "gpu",
            "error",
            f"{nodes} is there, but CUDA does not work: {facts.gpu.problem}",
            "a driver that answers",
            "restart the machine; if that does not help, install NVIDIA's driver again",
            GPU_VERBS,
        )
    else:
        device = facts.gpu.cuda
        yield Finding(
            "gpu",
            "ok",
            f"{device.name}, compute {device.architecture}, {device.multiprocessors} SMs,"
            f" {device.bytes / 2**30:.0f} GiB",
            verbs=GPU_VERBS,
        )


def power(facts: Facts) -> Iterator[Finding]:
    """A mode below the highest switches processors off, not only clocks down."""
    if not is_jetson(facts):
        return
    verbs = GPU_VERBS
    if facts.power is None or facts.power.now is None:
        why = facts.missing.get("power", "the mode is not in /etc/nvpmodel.conf")
        cure = "sudo nvpmodel -q"
        yield Finding("power", "warning", f"unknown: {why}", "a known power mode", cure, verbs)
        return
    now, modes = facts.power.now, facts.power.modes
    always = -1
    for mode in modes:  # what a mode switches off beyond what the module has not got
        always &= mode.mask
    best = max(modes, key=lambda mode: _capacity(mode, always))
    said = f"{now.name} (mode {now.id})"
    if _capacity(now, always) >= _capacity(best, always):
        yield Finding("power", "ok", said, verbs=verbs)
        return
    limits = [
        f"{2 * off} SMs off" if (off := _off(now, always)) else "",
        f"GPU up to {now.gpu_hz / 1e6:.0f} MHz" if now.gpu_hz > 0 else "",
        f"{now.cpus} of {best.cpus} CPUs" if now.cpus < best.cpus else "",
    ]
    yield Finding(
        "power",
        "warning",
        f"{said}: {', '.join(part for part in limits if part)}",
        f"{best.name}, if power supply and cooling allow it; engines fit one mode only",
        f"sudo nvpmodel -m {best.id}, then build again (it may ask for a restart)",
        verbs,
    )


def _off(mode: PowerMode, always: int) -> int:
    """TPCs, of two SMs each, that a mode switches off."""
    return bin(mode.mask & ~always).count("1")


def _capacity(mode: PowerMode, always: int) -> tuple[float, float, int]:
    """Larger is faster."""
    clock = mode.gpu_hz if mode.gpu_hz > 0 else float("inf")
    return -_off(mode, always), clock, mode.cpus


def clocks(facts: Facts) -> Iterator[Finding]:
    """Whether figures taken now can be compared with others."""
    if facts.clocks is not None:
        lowest, highest = (hertz / 1e6 for hertz in (facts.clocks.least, facts.clocks.most))
        if lowest < highest:
            yield Finding(
                "clocks",
                "warning",
                f"the GPU's clock moves between {lowest:.0f} and {highest:.0f} MHz",
                "a fixed one while figures are taken",
                "sudo jetson_clocks (until the next start; --restore undoes it)",
                ("profile",),
            )
        else:
            yield Finding("clocks", "ok", f"GPU fixed at {highest:.0f} MHz", verbs=("profile",))
        if facts.clocks.load is not None and facts.clocks.load > BUSY:
            yield Finding(
                "load",
                "warning",
                f"the GPU is busy: {facts.clocks.load:.0%}",
                "an idle GPU while engines are built and figures taken",
                "stop what uses it (a running policy is ended by `dreamvla stop`)",
                ("build", "profile"),
            )
    if facts.temperature is not None and facts.temperature > HOT_C:
        yield Finding(
            "temperature",
            "warning",
            f"{facts.temperature:.0f} °C",
            f"below {HOT_C:.0f} °C, or clocks go down",
            "let the fan run (sudo jetson_clocks --fan), free its way, let it cool",
            ("profile", "run"),
        )
