"""Bundles that are damaged, incomplete, too new or unsafe: each is refused and told why."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundles import edit_manifest, mend, rewrite
from dreamvla_edge.runtime.bundle import Bundle, open_bundle
from dreamvla_edge.runtime.errors import BundleError

Refused = Callable[[], BundleError]
AGAIN = "export the checkpoint again, or copy the whole bundle again"

FILES = ("backbone.onnx", "backbone.onnx.data", "golden.npz", "tokenizer.json")
"""One file of each kind."""


def set_at(manifest: Any, path: str, value: Any) -> None:
    """Set `manifest[a][b]` for the path `a.b`; digits index lists."""
    *way, last = (int(part) if part.isdigit() else part for part in path.split("."))
    for part in way:
        manifest = manifest[part]
    manifest[last] = value


# Files


def test_an_undamaged_bundle_opens(light: Bundle, damaged: Path) -> None:
    """A copy is as good as the original; what the other tests do to it is what is refused."""
    assert open_bundle(damaged).manifest == light.manifest
    assert open_bundle(str(damaged)).model("backbone") == damaged / "backbone.onnx"


def test_no_file_is_unhashed(light: Bundle) -> None:
    """Each file but the manifest, and nothing else, is listed."""
    present = {file.name for file in light.path.iterdir()} - {"bundle.json"}
    assert set(light.manifest.files) == present
    for spec in light.manifest.subgraphs.values():
        assert set(spec.files) <= present


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0, 0.5, -1])
def test_a_flipped_bit(name: str, place: float, damaged: Path, refused: Refused) -> None:
    """Anywhere in any file; the file is named."""
    content = bytearray((damaged / name).read_bytes())
    content[int(place * len(content))] ^= 1
    rewrite(damaged / name, content)
    error = refused()
    assert error.found.startswith(f"{damaged / name} has sha256 ")
    assert error.expected.endswith("… as bundle.json says")
    assert error.cure == f"the file is damaged or was changed: {AGAIN}"


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file(name: str, damaged: Path, refused: Refused) -> None:
    """It is named."""
    (damaged / name).unlink()
    error = refused()
    assert error.found == f"{damaged} lacks {name}"
    assert (error.expected, error.cure) == ("every listed file", AGAIN)


@pytest.mark.parametrize("name", ["notes.txt", ".hidden", "calibration/frames.npz"])
def test_a_file_too_many(name: str, damaged: Path, refused: Refused) -> None:
    """Nothing unhashed lies in a bundle."""
    (damaged / name).parent.mkdir(exist_ok=True)
    (damaged / name).write_text("mine")
    error = refused()
    assert error.found == f"{damaged} also holds {name}"
    assert error.expected == "only files that bundle.json lists with their sha256"
    assert error.cure == "move files that are not the bundle's somewhere else"


def test_a_linked_folder_too_many(damaged: Path, refused: Refused, tmp_path: Path) -> None:
    """It is as good as a file."""
    (damaged / "elsewhere").symlink_to(tmp_path)
    assert refused().found == f"{damaged} also holds elsewhere"


def test_a_name_that_no_file_can_have(damaged: Path, refused: Refused) -> None:
    """Longer than file systems allow."""
    edit_manifest(damaged, lambda m: m["files"].update({"a" * 300: "0" * 64}))
    assert refused().found == f"{damaged} lacks {'a' * 300}"


def test_a_file_of_a_subgraph_that_is_not_hashed(damaged: Path, refused: Refused) -> None:
    """A subgraph cannot name a file around the list."""
    (damaged / "backbone.onnx").rename(damaged / "sub.onnx")
    edit_manifest(damaged, lambda m: m["files"].pop("backbone.onnx"))
    assert refused().found == f"{damaged} lacks backbone.onnx"


@pytest.mark.parametrize("kind", ["directory", "pipe"])
def test_a_name_that_is_no_file(kind: str, damaged: Path, refused: Refused) -> None:
    """Reading a pipe would wait for ever."""
    (damaged / "golden.npz").unlink()
    if kind == "pipe":
        os.mkfifo(damaged / "golden.npz")
    else:
        (damaged / "golden.npz").mkdir()
    assert refused().found == f"{damaged} lacks golden.npz"


# Paths


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/etc/hostname", "sub/../golden.npz", "..\\x", "a\0b"]
)
@pytest.mark.parametrize("list_", ["files", "subgraphs.backbone.files"])
def test_a_path_that_leaves_the_bundle(
    name: str, list_: str, damaged: Path, refused: Refused
) -> None:
    """In either list of files, whether it exists or not."""
    (damaged.parent / "x").write_text("outside")
    value = {name: "0" * 64} if list_ == "files" else [name]
    edit_manifest(damaged, lambda m: set_at(m, list_, value))
    error = refused()
    assert error.found == f"bundle.json names {name!r}"
    assert error.expected == f"paths that stay inside {damaged}"


def test_a_link_that_leaves_the_bundle(damaged: Path, refused: Refused, tmp_path: Path) -> None:
    """Even to the same content with the right hash."""
    (damaged / "golden.npz").rename(tmp_path / "golden.npz")
    (damaged / "golden.npz").symlink_to(tmp_path / "golden.npz")
    assert refused().found == "bundle.json names 'golden.npz'"


@pytest.mark.parametrize(("target", "found"), [("nowhere", "lacks"), ("golden.npz", "names")])
def test_a_link_that_leads_nowhere(
    target: str, found: str, damaged: Path, refused: Refused
) -> None:
    """Dangling, or to itself."""
    (damaged / "golden.npz").unlink()
    (damaged / "golden.npz").symlink_to(target)
    error = refused()
    assert found in error.found and "golden.npz" in error.found


def test_a_bundle_reached_through_links_opens(light: Bundle, tmp_path: Path) -> None:
    """As `current` does in a folder of releases; links inside stay allowed too."""
    (tmp_path / "current").symlink_to(light.path)
    assert open_bundle(tmp_path / "current").manifest == light.manifest


# The manifest


@pytest.mark.parametrize(
    "place",
    [
        "extra",
        "network.extra",
        "specification.extra",
        "specification.action.gripper.extra",
        "specification.cameras.1.extra",
        "preprocessing.extra",
        "sampler.extra",
        "subgraphs.text.extra",
        "subgraphs.text.inputs.0.extra",
        "network.dreams.2.extra",
    ],
)
def test_an_unknown_field(place: str, damaged: Path, refused: Refused) -> None:
    """At any depth; the field is named."""
    edit_manifest(damaged, lambda m: set_at(m, place, 1))
    error = refused()
    assert "is not a manifest of schema version 2" in error.found
    assert "unknown field `extra`" in error.found
    assert error.expected == "the fields that `dreamvla export` writes and no others"
    assert error.cure == AGAIN


@pytest.mark.parametrize(
    ("place", "value", "told"),
    [
        ("network.window", "10", "$.network.window"),
        ("network.window", 10.5, "$.network.window"),
        ("network.mask", [[0, 1]], "$.network.mask"),
        ("network.action_head", "flow", "$.network.action_head"),
        ("subgraphs.text.inputs.0.dtype", "float64", "$.subgraphs[...].inputs[0].dtype"),
        ("subgraphs.text.precision", "int3", "$.subgraphs[...].precision"),
        ("sampler.kind", "ddpm", "$.sampler.kind"),
        ("specification.cameras", [], "$.specification.cameras"),
        ("specification.cameras.0.flip", "sideways", "$.specification.cameras[0].flip"),
        ("specification.action.dimensions.3.scale", 0, "scale must be finite, not zero"),
        ("preprocessing.std", [1, 0, 1], "std must be finite and above zero"),
        ("files", ["a"], "$.files"),
        ("schema_version", True, "$.schema_version"),
    ],
)
def test_a_value_of_the_wrong_type(
    place: str, value: object, told: str, damaged: Path, refused: Refused
) -> None:
    """The place or the rule is named."""
    edit_manifest(damaged, lambda m: set_at(m, place, value))
    error = refused()
    assert "is not a manifest of schema version" in error.found and told in error.found


def test_a_missing_field(damaged: Path, refused: Refused) -> None:
    """Nothing that the runtime needs has a default."""
    edit_manifest(damaged, lambda m: m["network"].pop("mask"))
    assert "missing required field `mask`" in refused().found


def test_a_newer_schema_names_what_to_install(damaged: Path, refused: Refused) -> None:
    """The version that wrote the bundle, in a command that can be pasted."""

    def newer(manifest: dict[str, Any]) -> None:
        manifest["schema_version"] = 3
        manifest["versions"]["dreamvla-edge"] = "0.7.1"
        manifest["new"] = "field"

    edit_manifest(damaged, newer)
    error = refused()
    assert error.found == f"{damaged} has schema version 3"
    assert error.expected == "at most 2"
    assert error.cure == (
        "install dreamvla-edge 0.7.1 or later: pip install -U 'dreamvla-edge>=0.7.1'"
    )


@pytest.mark.parametrize(
    "versions", [None, [], {}, {"dreamvla-edge": 7}, {"dreamvla-edge": "1'; reboot; '"}]
)
def test_a_newer_schema_from_an_unknown_writer(
    versions: object, damaged: Path, refused: Refused
) -> None:
    """The command holds nothing that is not a version: it is meant to be pasted into a shell."""
    edit_manifest(damaged, lambda m: m.update(schema_version=99, versions=versions))
    assert refused().cure == "install a newer dreamvla-edge: pip install -U dreamvla-edge"


@pytest.mark.parametrize("version", [0, -1, "1", 1.0, None])
def test_a_schema_that_never_was(version: object, damaged: Path, refused: Refused) -> None:
    """Before the other fields are looked at."""
    edit_manifest(damaged, lambda m: m.update(schema_version=version))
    error = refused()
    assert error.found == f"{damaged / 'bundle.json'} has schema version {version!r}"
    assert error.expected == "a whole number from 1 on"


def test_no_schema(damaged: Path, refused: Refused) -> None:
    """Some other program's bundle.json."""
    edit_manifest(damaged, lambda m: m.pop("schema_version"))
    assert refused().found.endswith("has schema version None")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b'{"a": "\xff"}', b"[" * 200_000, b"schema_version = 1"]
)
def test_not_json(content: bytes, damaged: Path, refused: Refused) -> None:
    """Empty, cut off, not text, nested without end, TOML."""
    rewrite(damaged / "bundle.json", content)
    error = refused()
    assert error.found.startswith(f"{damaged / 'bundle.json'} is not JSON (")
    assert (error.expected, error.cure) == ("a bundle's manifest", AGAIN)


@pytest.mark.parametrize("content", ["null", "[]", "1", '"bundle"'])
def test_json_of_something_else(content: str, damaged: Path, refused: Refused) -> None:
    """Valid JSON, no manifest."""
    rewrite(damaged / "bundle.json", content.encode())
    assert refused().found.endswith("has schema version None")


@pytest.mark.parametrize("name", ["text", "vision", "embed", "backbone", "denoise"])
@pytest.mark.parametrize("how", ["no subgraph", "no file"])
def test_a_missing_subgraph(name: str, how: str, damaged: Path, refused: Refused) -> None:
    """Each is needed for every step."""

    def cut(manifest: dict[str, Any]) -> None:
        if how == "no subgraph":
            del manifest["subgraphs"][name]
        else:
            manifest["subgraphs"][name]["files"] = []

    edit_manifest(damaged, cut)
    error = refused()
    assert error.found == f"{damaged} has no {name}"
    assert error.expected == "the subgraphs backbone, denoise, embed, text, vision"


def test_a_denoiser_without_a_sampler(damaged: Path, refused: Refused) -> None:
    """Its noise predictions would make no action."""
    edit_manifest(damaged, lambda m: m.update(sampler=None))
    assert refused().found == f"{damaged} has no sampler"


# No bundle at all


@pytest.mark.parametrize("what", ["nothing", "file", "folder"])
def test_not_a_bundle(what: str, tmp_path: Path) -> None:
    """A path to nothing, to a file, or to some other folder."""
    path = tmp_path / "x"
    if what == "file":
        path.write_text(json.dumps({"schema_version": 1}))
    elif what == "folder":
        path.mkdir()
    with pytest.raises(BundleError) as caught:
        open_bundle(path)
    found = {"folder": f"no bundle.json in {path}"}.get(what, f"no directory {path}")
    assert caught.value.found == found
    assert "dreamvla export CHECKPOINT -o BUNDLE" in caught.value.cure


def test_a_subgraph_that_is_not_there(light: Bundle) -> None:
    """Those that are there are named."""
    with pytest.raises(BundleError) as caught:
        light.model("dream_dino")
    assert caught.value.found == f"no subgraph 'dream_dino' in {light.path}"
    assert "dream_sam" in caught.value.expected


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("specification.cameras.0.flip", "vertical"),
        ("specification.action.dimensions.0.scale", 0.2),
        ("specification.action.gripper.upper_means", "closed"),
        ("preprocessing.mean", [0.5, 0.5, 0.5]),
        ("network.slots_ahead", 4),
    ],
)
def test_a_manifest_that_was_changed(
    place: str, value: object, damaged: Path, refused: Refused
) -> None:
    """What decides how an arm moves cannot be edited by the way: golden data knows it too."""
    edit_manifest(damaged, lambda m: set_at(m, place, value))
    error = refused()
    assert error.found.endswith("was changed in network, specification or preprocessing")
    assert error.expected == "what the export recorded in golden.npz"
    assert error.cure.startswith("change the data-set file instead, then export")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04", b"\x93NUMPY\x01\x00"])
def test_golden_data_that_is_damaged(content: bytes, damaged: Path, refused: Refused) -> None:
    """With its hash mended: whatever NumPy says about it, the file is named."""
    rewrite(damaged / "golden.npz", content)
    mend(damaged, "golden.npz")
    error = refused()
    assert error.found.startswith(f"{damaged / 'golden.npz'} cannot be read (")
    assert error.expected == "the golden data that `dreamvla export` recorded"


@pytest.mark.parametrize("data", [np.zeros(3), np.array([{}], dtype=object)])
def test_golden_data_of_another_kind(data: np.ndarray, damaged: Path, refused: Refused) -> None:
    """One array instead of many; a pickle, which would run code when it is loaded."""
    with (damaged.parent / "golden.npz").open("wb") as file:
        np.save(file, data)
    rewrite(damaged / "golden.npz", (damaged.parent / "golden.npz").read_bytes())
    mend(damaged, "golden.npz")
    assert "golden.npz cannot be read (" in refused().found


def test_a_mended_hash_is_accepted(damaged: Path) -> None:
    """The hashes guard against damage, not against an author: what is inside is for `verify`."""
    rewrite(damaged / "text.onnx", b"something else")
    mend(damaged, "text.onnx")
    assert open_bundle(damaged).path == damaged
