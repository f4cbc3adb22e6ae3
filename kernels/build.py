"""Kernels compiled for a GPU, with NVRTC or nvcc, and kept.

An image is a cubin for one architecture (`sm_87`) or PTX for it and what follows it
(`compute_87`), which the driver compiles when it is loaded.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from .device import KernelError

SOURCES = Path(__file__).parent / "cuda"
NAMES = ("masked_attention.cu", "denoise.cu", "preprocess.cu")
ARCHITECTURES = ("sm_80", "sm_86", "sm_87", "sm_90", "sm_110", "sm_120")
"""For which tests compile: A100, RTX 30 and 40, Orin, H100, Thor, RTX 50."""
_FLAGS = ("-std=c++17",)
_ENTRY = re.compile(r"Compiling entry function '(\w+)'")
_SPILLS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+) bytes smem")


@dataclass(frozen=True)
class Resources:
    """What a thread or block of one kernel takes: registers, and bytes."""

    registers: int
    stack: int
    spilled: int
    shared: int


@dataclass(frozen=True, eq=False)
class Image:
    """Machine code or PTX of one source file; resources: by kernel, none for PTX."""

    code: bytes
    resources: Mapping[str, Resources]


def build(source: str, architecture: str, compiler: str | None = None) -> Image:
    """One of NAMES for an architecture, from the cache if it was built before.

    compiler: `nvrtc` or `nvcc`, None for the first that is here. Raises KernelError if none is,
    or it refuses.
    """
    if not re.fullmatch(r"(sm|compute)_\d+[af]?", architecture):
        raise KernelError(
            f"{architecture!r} is no GPU architecture; expected sm_87 for machine code,"
            " compute_87 for PTX, and so on"
        )
    name = compiler or default_compiler()
    kept = _cache() / f"{_key(source, architecture, name)}.image"
    log = kept.with_suffix(".log")
    if not (kept.exists() and log.exists()):
        code, told = COMPILERS[name](source, architecture)
        kept.parent.mkdir(parents=True, exist_ok=True)
        for path, data in ((log, told.encode()), (kept, code)):
            _write(path, data)
    return Image(kept.read_bytes(), resources_of(log.read_text()))


def default_compiler() -> str:
    """`nvrtc` if its package is here, else `nvcc`. Raises KernelError if neither is."""
    try:
        from cuda.bindings import nvrtc

        nvrtc.nvrtcVersion()
        return "nvrtc"
    except (ImportError, RuntimeError):  # the package, or the library that it looks for
        pass
    if nvcc():
        return "nvcc"
    raise KernelError(
        "no compiler for CUDA kernels; expected nvcc on the PATH (Jetson: `sudo apt install"
        " cuda-toolkit`, then /usr/local/cuda/bin), or `pip install cuda-bindings"
        " nvidia-cuda-nvrtc`"
    )


def nvcc() -> str | None:
    """Where nvcc is, None if nowhere."""
    beside = Path("/usr/local/cuda/bin/nvcc")  # JetPack leaves it off the PATH
    return shutil.which("nvcc") or (str(beside) if beside.exists() else None)


def resources_of(log: str) -> dict[str, Resources]:
    """By kernel, from what ptxas says with -v."""
    found, parts = {}, _ENTRY.split(log)[1:]
    for name, part in zip(parts[::2], parts[1::2], strict=True):
        spills, used, shared = _SPILLS.search(part), _USED.search(part), _SHARED.search(part)
        if spills is None or used is None:
            continue
        stack, stores, loads = (int(number) for number in spills.groups())
        size = int(shared[1]) if shared else 0
        found[name] = Resources(int(used[1]), stack, stores + loads, size)
    return found


def _with_nvcc(source: str, architecture: str) -> tuple[bytes, str]:
    compiler = nvcc()
    if compiler is None:
        raise KernelError("nvcc is not on the PATH; on a Jetson it is in /usr/local/cuda/bin")
    form = "-cubin" if architecture.startswith("sm_") else "-ptx"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "image"
        command = [compiler, f"-arch={architecture}", form, *_FLAGS, "-Xptxas", "-v"]
        result = subprocess.run(
            [*command, str(SOURCES / source), "-o", str(out)], capture_output=True, text=True
        )
        if result.returncode:
            raise KernelError(f"nvcc refuses {source} for {architecture}:\n{result.stderr[-4000:]}")
        return out.read_bytes(), result.stdout + result.stderr


def _with_nvrtc(source: str, architecture: str) -> tuple[bytes, str]:
    from cuda.bindings import nvrtc

    text = (SOURCES / source).read_bytes()
    _, program = nvrtc.nvrtcCreateProgram(text, source.encode(), 0, [], [])
    flags = [f"-arch={architecture}", f"-I{SOURCES}", "--ptxas-options=-v", *_FLAGS]
    (status,) = nvrtc.nvrtcCompileProgram(program, len(flags), [flag.encode() for flag in flags])
    _, size = nvrtc.nvrtcGetProgramLogSize(program)
    log = b" " * size
    nvrtc.nvrtcGetProgramLog(program, log)
    told = log.rstrip(b"\0 ").decode(errors="replace")
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise KernelError(f"NVRTC refuses {source} for {architecture}:\n{told[-4000:]}")
    cubin = architecture.startswith("sm_")
    get_size = nvrtc.nvrtcGetCUBINSize if cubin else nvrtc.nvrtcGetPTXSize
    get = nvrtc.nvrtcGetCUBIN if cubin else nvrtc.nvrtcGetPTX
    _, size = get_size(program)
    code = b" " * size
    get(program, code)
    nvrtc.nvrtcDestroyProgram(program)
    return code, told


COMPILERS: Mapping[str, Callable[[str, str], tuple[bytes, str]]] = {
    "nvrtc": _with_nvrtc,
    "nvcc": _with_nvcc,
}
"""By name: (source, architecture) → code and what the compiler said."""


def _version(compiler: str) -> str:
    if compiler == "nvcc":
        told = subprocess.run([nvcc() or "nvcc", "--version"], capture_output=True, text=True)
        return told.stdout
    from cuda.bindings import nvrtc

    return str(nvrtc.nvrtcVersion())


def _key(source: str, architecture: str, compiler: str) -> str:
    hashed = hashlib.sha256(repr((source, architecture, _version(compiler), _FLAGS)).encode())
    for file in sorted(SOURCES.glob("*.cu*")):
        hashed.update(file.read_bytes())
    return f"{Path(source).stem}-{architecture}-{hashed.hexdigest()[:16]}"


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "dreamvla-edge" / "kernels"


def _write(path: Path, data: bytes) -> None:
    """All or nothing, whoever else writes the same."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    Path(file.name).replace(path)
