"""Writes down what TensorRT's own Python bindings offer, without TensorRT.

    python tools/tensorrt_api.py FOLDER [10.3.0 …]

The bindings come from PyPI and are imported beside three libraries of stubs, since they need nine
C symbols and nothing else; FOLDER gets one JSON file per version with the signatures, as pybind11
wrote them, of the classes and functions that we use.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

VERSIONS = ("10.3.0", "10.7.0", "10.13.3.9.post1", "10.16.1.11", "11.4.0.106")
CLASSES = (
    "Builder IBuilderConfig ICudaEngine IExecutionContext IHostMemory INetworkDefinition"
    " IOptimizationProfile IPluginRegistry IProfiler ITimingCache Logger"
    " NetworkDefinitionCreationFlag OnnxParser ParserError ProfilingVerbosity Runtime"
).split()
FUNCTIONS = ("get_plugin_registry",)
_STUBS = {
    "libnvinfer": "createInferBuilder_INTERNAL createInferRefitter_INTERNAL"
    " createInferRuntime_INTERNAL getPluginRegistry getBuilderPluginRegistry",
    "libnvonnxparser": "createNvOnnxParser_INTERNAL createNvOnnxParserRefitter_INTERNAL"
    " getNvOnnxParserVersion",
    "libnvinfer_plugin": "initLibNvInferPlugins",
}
_DUMP = """
import json, sys
import tensorrt_bindings as trt

def signatures(doc):
    lines = [line.strip() for line in (doc or "").splitlines()]
    return [line.lstrip("0123456789. ") for line in lines if "->" in line and "(" in line]

def entries(kind):
    found = {}
    for base in reversed(kind.__mro__):
        for name, value in vars(base).items():
            if name.startswith("__") and name != "__init__":
                continue
            found[name] = signatures(value.__doc__) if callable(value) else "property"
    return found

wanted = json.loads(sys.argv[1])
classes = {name: entries(getattr(trt, name)) for name in wanted["classes"]}
functions = {name: signatures(getattr(trt, name).__doc__) for name in wanted["functions"]}
found = {"version": trt.__version__, "classes": classes, "functions": functions}
print(json.dumps(found, indent=1, sort_keys=True))
"""


def dump(version: str) -> str:
    """The JSON of one version."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        asked = ["download", "-q", "--no-deps", "--only-binary=:all:", "-d", folder]
        package = f"tensorrt-cu12-bindings=={version}"
        subprocess.run([sys.executable, "-m", "pip", *asked, package], check=True)
        (wheel,) = folder.glob("*.whl")
        zipfile.ZipFile(wheel).extractall(folder / "wheel")
        major = version.split(".")[0]
        for library, names in _STUBS.items():
            source, made = folder / f"{library}.c", folder / f"{library}.so.{major}"
            source.write_text("".join(f"void *{n}() {{ return 0; }}\n" for n in names.split()))
            flags = ["-shared", "-fPIC", "-w", f"-Wl,-soname,{made.name}"]
            subprocess.run(["gcc", *flags, "-o", made, source], check=True)
        return subprocess.run(
            [sys.executable, "-c", _DUMP, json.dumps({"classes": CLASSES, "functions": FUNCTIONS})],
            check=True,
            capture_output=True,
            text=True,
            env=os.environ | {"LD_LIBRARY_PATH": str(folder), "PYTHONPATH": str(folder / "wheel")},
        ).stdout


def main(folder: str, *versions: str) -> None:
    """See the module."""
    for version in versions or VERSIONS:
        found = dump(version)
        number = ".".join(json.loads(found)["version"].split(".")[:2])
        Path(folder, f"{number}.json").write_text(found)


if __name__ == "__main__":
    main(*sys.argv[1:])
