"""Bundles of the golden cases, as tests ask for them: the fixture `bundle`.

The checkpoint of a case is written in the released format and exported as a user does it. Needs
torch, so import this inside functions where the base install must do.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dreamvla_edge.export import export as exporting
from dreamvla_edge.export.data_set import DataSet, load_data_set
from dreamvla_edge.export.export import export, hints
from dreamvla_edge.export.subgraphs import Subgraph
from dreamvla_edge.export.write import write_onnx
from dreamvla_edge.model.checkpoint import UNNEEDED, load_network
from dreamvla_edge.model.network import DreamVLA
from dreamvla_edge.runtime.bundle import Bundle, open_bundle
from golden_cases import Golden
from once import alone, once


def write_checkpoint(path: Path, golden: Golden, name: str) -> Path:
    """The checkpoint of a case; tensors that nobody needs have their shape, but no values."""
    state = {}
    for key, shape in golden.shapes(name).items():
        if key == "attention_mask":
            state[key] = torch.from_numpy(golden.attention_mask(name))
        elif any(fnmatchcase(key, pattern) for pattern in UNNEEDED):
            state[key] = torch.full((), torch.nan).expand(shape)
        else:
            state[key] = torch.from_numpy(golden.weight(key, shape))
    torch.save({"model_state_dict": {f"module.{key}": value for key, value in state.items()}}, path)
    return path


def data_set_of(golden: Golden, name: str) -> DataSet:
    """The shipped data set that a case belongs to, with the case's number of heads."""
    case = golden.case(name)
    data_set = load_data_set("libero" if case["gripper_width"] else "calvin")
    model = msgspec.structs.replace(data_set.model, heads=case["transformer_heads"])
    return msgspec.structs.replace(data_set, model=model)


class _Calls(TorchDispatchMode):
    """Digests all calls of torch: functions, numbers, and the bytes of tensors that none made."""

    def __init__(self) -> None:
        super().__init__()
        self.digest = hashlib.sha256()
        self._made: dict[int, tuple[int, object]] = {}  # with the tensor, so that its id stays its

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """See the class."""
        self._add(function)
        for part in tree_leaves((args, kwargs)):
            if not isinstance(part, torch.Tensor):
                self._add(part)
            elif id(part) in self._made:
                self._add(self._made[id(part)][0])
            else:
                self._add((part.dtype, part.shape, part.stride()))
                self.digest.update(part.detach().contiguous().view(-1).view(torch.uint8).numpy())
        results = function(*args, **(kwargs or {}))
        for result in tree_leaves(results):
            self._made[id(result)] = len(self._made), result
        return results

    def _add(self, part: object) -> None:
        self.digest.update(f"{part!r};".encode())


def digest_of(subgraph: Subgraph) -> str:
    """Equal for two subgraphs only if they do the same with the same weights."""
    with torch.no_grad(), _Calls() as calls:
        subgraph.module(*subgraph.example)
    names = (subgraph.name, subgraph.inputs, subgraph.outputs, subgraph.dynamic)
    calls.digest.update(repr(names).encode())
    return calls.digest.hexdigest()


def written(subgraph: Subgraph, folder: Path) -> tuple[str, ...]:
    """As `write_onnx`; what several cases have in common is written for the first of them.

    Each export still verifies all its files against its own network.
    """
    made = once(f"subgraph-{digest_of(subgraph)}", lambda place: write_onnx(subgraph, place))
    for file in made.iterdir():
        shutil.copyfile(file, folder / file.name)  # onnx refuses weights with several links
    return tuple(sorted(file.name for file in made.iterdir()))


class Bundles:
    """Bundles and networks of the golden cases, each made when it is first asked for.

    folder: shared by the processes of a test run; what one has made the others open.
    """

    def __init__(self, folder: Path, golden: Golden) -> None:
        self._folder, self._golden = folder, golden
        self._bundles: dict[str, Bundle] = {}

    def bundle(self, name: str) -> Bundle:
        """The bundle of a case; tests that change one take a `copy_of` it."""
        if name not in self._bundles:
            checkpoint, place = self.checkpoint(name), self._folder / name
            with alone(place):
                if not place.exists():
                    with mock.patch.object(exporting, "write_onnx", written):
                        export(checkpoint, place, data_set_of(self._golden, name))
            self._bundles[name] = open_bundle(place)
        return self._bundles[name]

    def checkpoint(self, name: str) -> Path:
        """The checkpoint file of a case."""
        path = self._folder / f"{name}.pt"
        with alone(path):
            return path if path.exists() else write_checkpoint(path, self._golden, name)

    def network(self, name: str) -> DreamVLA:
        """The PyTorch network of a case, read from its checkpoint."""
        data_set = data_set_of(self._golden, name)
        return load_network(self.checkpoint(name), hints(data_set)).requires_grad_(False)


def copy_of(bundle: Bundle, folder: Path) -> Path:
    """A copy; its files can be changed with `rewrite`."""
    return Path(shutil.copytree(bundle.path, folder))


def rewrite(path: Path, content: bytes) -> None:
    """Give a copy's file new content; the original keeps its own."""
    path.unlink()
    path.write_bytes(content)


def edit_manifest(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change a copy's `bundle.json` as a dictionary."""
    manifest = json.loads((folder / "bundle.json").read_text())
    edit(manifest)
    rewrite(folder / "bundle.json", json.dumps(manifest).encode())


def mend(folder: Path, name: str) -> None:
    """Write the hash that a file has now into a copy's `bundle.json`."""
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    edit_manifest(folder, lambda manifest: manifest["files"].update({name: digest}))


def change_number(folder: Path, name: str, index: int, change: Callable[[float], float]) -> None:
    """Change one float32 of a copy's file of weights and mend its hash."""
    weights = np.fromfile(folder / name, np.float32)
    weights[index] = change(float(weights[index]))
    rewrite(folder / name, weights.tobytes())
    mend(folder, name)
