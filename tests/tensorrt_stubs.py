"""TensorRT's interface of one version as a stub file, from NVIDIA's own bindings.

`tensorrt-stubs` of PyPI does not parse in any version (10.8.0.43.1 to 10.13.0.35.1), so stubs are
written from the signatures in `tests/tensorrt_api`. A class that was not recorded is Any, and so
is a property, whose type the bindings do not tell.
"""

from __future__ import annotations

import json
import keyword
import re
from pathlib import Path

FOLDER = Path(__file__).parent / "tensorrt_api"
_PLAIN = {
    "SupportsInt": "SupportsInt",
    "bool": "bool",
    "float": "float",
    "int": "int",
    "object": "Any",
    "str": "str",
    "None": "None",
    "Dims": "Iterable[int]",
    "tuple": "Iterable[int]",
    "buffer": "bytes | memoryview",
    "Buffer": "bytes | memoryview",
    "capsule": "object",
    "CapsuleType": "object",
}
_ALIASES = {"IParserError": "ParserError", "ILogger": "Logger"}
_BUFFER = "    def __buffer__(self, flags: int, /) -> memoryview: ..."
"""Of a class that gives its memory, which no signature says."""
_HEAD = """from collections.abc import Iterable
from typing import Any, SupportsInt, overload

__version__: str
"""


def write_stubs(version: str, folder: Path) -> None:
    """`tensorrt/__init__.pyi` in a folder."""
    found = json.loads((FOLDER / f"{version}.json").read_text())
    classes = found["classes"]
    parts = [_HEAD]
    for name, entries in classes.items():
        enum = "__members__" in entries or "name" in entries and "value" in entries
        parts += [f"class {name}:", "    _: None"]
        parts += [f"    {line}" for e, v in entries.items() for line in _entry(e, v, name, classes)]
        if name == "IHostMemory":
            parts.append(_BUFFER)
        if enum:
            parts.append("    def __int__(self) -> int: ...")
    for name in found["functions"]:
        parts.append(f"def {name}() -> {_returned(name)}: ...")
    (folder / "tensorrt").mkdir(parents=True, exist_ok=True)
    (folder / "tensorrt" / "__init__.pyi").write_text("\n".join(parts) + "\n")


def _returned(function: str) -> str:
    """What a function gives, which only the oldest bindings say."""
    text = json.loads((FOLDER / "10.3.json").read_text())["functions"][function][0]
    return str(text).rpartition(".")[2]


def _entry(name: str, value: object, owner: str, classes: dict[str, object]) -> list[str]:
    if keyword.iskeyword(name):
        return []
    if isinstance(value, str):  # an enumerator is one of its class, and so no Any
        return [f"{name}: {owner}" if name.isupper() else f"{name}: Any"]
    assert isinstance(value, list)
    signatures = dict.fromkeys(_signature(text, classes) for text in value)
    return [
        line
        for signature in signatures
        for line in (*["@overload"] * (len(signatures) > 1), f"def {name}{signature}: ...")
    ]


def _signature(text: str, classes: dict[str, object]) -> str:
    text = re.sub(r"<[^>]*>", "0", text)
    inside, _, result = text[text.index("(") + 1 :].rpartition(") -> ")
    parts = [part for part in re.split(r",\s*(?=\*|\w+:)", inside) if part]
    parameters, defaults = ["self"], False
    for part in parts[1:]:
        name, _, rest = part.partition(":")
        kind, _, default = rest.partition("=")
        if name.strip().startswith("*"):
            parameters.append(name.strip())
            continue
        own = f"{name.strip()}: {_type(kind, classes)}"
        # pybind11 lets a parameter without default follow one with; Python does not.
        defaults |= bool(default)
        parameters.append(own + " = ..." if defaults else own)
    return f"({', '.join(parameters)}) -> {_type(result, classes)}"


def _type(text: str, classes: dict[str, object]) -> str:
    name = re.split(r"[.:]+", text.strip())[-1]
    name = _ALIASES.get(name, name)
    if name in classes:
        return name
    return _PLAIN.get(name, "Any")
