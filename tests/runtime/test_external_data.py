"""Where ONNX files may read weights: only beside themselves, only what the bundle lists.

ONNX Runtime 1.23, the newest for JetPack 6, reads them from anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from bundles import mend, rewrite
from dreamvla_edge.runtime.bundle import Bundle
from dreamvla_edge.runtime.errors import BundleError
from dreamvla_edge.runtime.external_data import locations


def test_every_subgraph_names_its_own_file(
    small_case: str, bundle: Callable[[str], Bundle]
) -> None:
    """Nothing is missed in what the exporter writes, and nothing is taken for a place."""
    opened = bundle(small_case)
    for name, spec in opened.manifest.subgraphs.items():
        assert locations(opened.model(name).read_bytes()) == {f"{name}.onnx.data"}
        assert spec.files == (f"{name}.onnx", f"{name}.onnx.data")


def moved(path: Path, location: str) -> bytes:
    """The model with its first weight in another place."""
    model = onnx.load(path, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        entry.value = location if entry.key == "location" else entry.value
    return model.SerializeToString()


@pytest.mark.parametrize(
    "location",
    [
        "../x.data",
        "/x.data",
        "vision.onnx.data",
        "golden.npz",
        "",
        "a" * 200,
        "sub/embed.onnx.data",
    ],
)
def test_weights_of_another_place(
    location: str, damaged: Path, refused: Callable[[], BundleError]
) -> None:
    """With the file's hash mended, whether the place exists or not."""
    rewrite(damaged / "embed.onnx", moved(damaged / "embed.onnx", location))
    mend(damaged, "embed.onnx")
    error = refused()
    shown = location if 0 < len(location) < 128 else "?"
    assert error.found == f"{damaged / 'embed.onnx'} reads weights from {shown!r}"
    assert error.expected == "only embed.onnx.data"


def tensor(location: str) -> TensorProto:
    """A tensor whose numbers are in another file."""
    made = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1])
    made.data_location = TensorProto.EXTERNAL
    made.external_data.add(key="location", value=location)
    return made


def test_wherever_a_tensor_may_stand() -> None:
    """Initializers, attributes of nodes, in functions and in graphs of branches."""
    inner = helper.make_graph([], "inner", [], [], [tensor("in a branch")])
    node = helper.make_node("Constant", [], ["c"], value=tensor("in a node"))
    branch = helper.make_node("If", ["c"], ["d"], then_branch=inner, else_branch=inner)
    constant = helper.make_node("Constant", [], ["e"], value=tensor("in a function"))
    function = helper.make_function("f", "F", [], ["e"], [constant], [])
    graph = helper.make_graph([node, branch], "outer", [], [], [tensor("in the graph")])
    model = helper.make_model(graph, functions=[function])
    found = locations(model.SerializeToString())
    assert found == {f"in a {place}" for place in ("branch", "node", "function")} | {"in the graph"}


KEY, VALUE = b"\n\x08location", b"\x12\x04/x.y"


@pytest.mark.parametrize(
    "entry",
    [
        VALUE + KEY,  # the value first
        b"\n\x88\x00location" + VALUE,  # a length in two bytes
        KEY + b"\x12\x84\x00/x.y",
        b"\n\x08location\x1a\x00" + VALUE,  # an unknown field between them
        KEY,
        KEY + b"\x12\x7f/x.y",
    ],
)
def test_other_ways_to_write_it_are_not_trusted(entry: bytes) -> None:
    """Protobuf reads all of these but the last two."""
    assert "?" in locations(b"\x6a" + bytes([len(entry)]) + entry)
