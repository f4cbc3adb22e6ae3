"""Masked attention as a plugin of TensorRT: its library, compiled where TensorRT is.

The library exports `getCreators` and links to nothing of TensorRT, so that
`IPluginRegistry.load_library` and `trtexec --dynamicPlugins` take it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from .build import SOURCES, nvcc
from .device import KernelError

SOURCE = "masked_attention_plugin.cu"
NAME, VERSION, NAMESPACE = "MaskedAttention", "1", "dreamvla"
"""What TensorRT looks a plugin up by."""
_FLAGS = ("-shared", "-Xcompiler", "-fPIC", "-std=c++17", "-O3")
_PARTS = (SOURCE, "masked_attention.cu", "masked_attention.cuh", "device.cuh")


def plugin_key() -> str:
    """sha256 of all that decides what the library does beside compiler and architecture."""
    hashed = hashlib.sha256(repr(_FLAGS).encode())
    for name in _PARTS:
        hashed.update((SOURCES / name).read_bytes())
    return hashed.hexdigest()


def compiled_plugin(architecture: str) -> bytes:
    """The shared library for a GPU (`sm_87`), by nvcc and the headers of TensorRT.

    Headers in another place than the compiler's own are found by $CPATH. Raises KernelError if
    there is no nvcc, no header, or nvcc refuses.
    """
    compiler = nvcc()
    if compiler is None:
        raise KernelError(
            "no nvcc for the plugin; on a Jetson: `sudo apt install cuda-toolkit`, which puts it"
            " into /usr/local/cuda/bin"
        )
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "plugin.so"
        command = [compiler, f"-arch={architecture}", *_FLAGS, str(SOURCES / SOURCE)]
        plain = os.environ | {"LC_ALL": "C"}  # or the compiler says it in another language
        done = subprocess.run([*command, "-o", made], capture_output=True, text=True, env=plain)
        if "NvInferRuntime.h: No such file" in done.stderr:
            raise KernelError(
                "no header NvInferRuntime.h of TensorRT for the plugin; `sudo apt install"
                " libnvinfer-headers-dev`, or name its folder in $CPATH"
            )
        if done.returncode:
            raise KernelError(f"nvcc refuses the plugin:\n{done.stderr[-4000:]}")
        return made.read_bytes()


def register(registry: Any, library: Path) -> None:
    """Makes the plugin known to TensorRT's registry, once in a process.

    Raises KernelError if TensorRT does not take the library.
    """
    if registry.get_creator(NAME, VERSION, NAMESPACE) is not None:
        return
    if not library.exists() or registry.load_library(str(library)) is None:
        raise KernelError(
            f"TensorRT cannot load the plugin {library}; build it again with the engines: dreamvla"
            " build BUNDLE --plugin --force"
        )
