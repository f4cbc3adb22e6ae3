"""`verify` finds what is wrong inside a bundle whose hashes are right, and names the subgraph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest

from bundles import change_number, copy_of, edit_manifest, mend, rewrite
from dreamvla_edge.runtime.bundle import Bundle, open_bundle
from dreamvla_edge.runtime.errors import BundleError, ParityError
from dreamvla_edge.runtime.policy import Policy
from dreamvla_edge.runtime.verify import Stage, relative_error, require, verify

DREAMS = ("dream_image", "dream_depth", "dream_sam")


def blamed(folder: Path) -> str:
    """The subgraph or part that `verify` names for a bundle with an error in it."""
    bundle = open_bundle(folder)
    stages = verify(bundle)
    with pytest.raises(ParityError) as caught:
        require(stages, bundle)
    first = next(stage for stage in stages if not stage.passed)
    name = first.name
    assert caught.value.found.startswith(f"{name} ({first.use}) of {folder} differs from the net")
    assert caught.value.cure.startswith(f"{name} is the first stage that is wrong: export again")
    return name


def test_a_good_bundle_passes(bundle: Callable[[str], Bundle]) -> None:
    """Every subgraph in every use, in the order of a step."""
    stages = verify(bundle("calvin_small"))
    assert [(stage.name, stage.use) for stage in stages] == [
        ("preprocess", "first frame"),
        ("tokenizer", "instruction"),
        ("text", "instruction"),
        ("vision", "first frame"),
        ("embed", "context rows"),
        ("embed", "query rows"),
        ("backbone", "fill, first"),
        ("backbone", "fill, full"),
        ("backbone", "prefill"),
        ("backbone", "step"),
        ("denoise", "every time step"),
        ("denoise", "sampled actions"),
        *((dream, "last step") for dream in DREAMS),
    ]
    assert all(stage.passed for stage in stages)
    require(stages, bundle("calvin_small"))


def test_one_thread_passes_too(bundle: Callable[[str], Bundle]) -> None:
    """Sums in another order stay within the tolerance."""
    assert all(stage.passed for stage in verify(bundle("mlp_head_small"), threads=1))


# Weights


def weights(folder: Path, subgraph: str) -> list[tuple[str, int, int]]:
    """Name, first index and length of every matrix in the subgraph's file of weights.

    Left out is what golden data cannot show: embeddings of words and places that its instruction
    does not have, the causal mask, which is no weight, and biases, of which those of keys have
    no effect at all.
    """
    model = onnx.load(folder / f"{subgraph}.onnx", load_external_data=False)
    found = []
    for tensor in model.graph.initializer:
        place = {entry.key: entry.value for entry in tensor.external_data}
        shown = not any(
            part in tensor.name for part in ("clip_model.token", "positional", "causal")
        )
        if place and len(tensor.dims) >= 2 and shown:
            found.append((tensor.name, int(place["offset"]) // 4, int(place["length"]) // 4))
    return found


def check_one_weight(folder: Path, subgraph: str, seed: int, change: Any) -> None:
    """One random weight is changed, its hash mended: `verify` names the subgraph."""
    rng = np.random.default_rng(seed)
    matrices = weights(folder, subgraph)
    _, start, length = matrices[rng.integers(len(matrices))]
    index = start + int(rng.integers(length))
    change_number(folder, f"{subgraph}.onnx.data", index, change)
    assert blamed(folder) == subgraph


@pytest.mark.parametrize("seed", range(6))
def test_one_weight_of_the_backbone(seed: int, copied: Path) -> None:
    """Moved by half, as a damaged or a mixed-up file would; weights are about 0.1 here."""
    check_one_weight(copied, "backbone", seed, lambda weight: weight + 0.5)


@pytest.mark.parametrize("name", ["text", "vision", "embed", "denoise", *DREAMS])
def test_one_weight_of_any_subgraph(name: str, copied: Path) -> None:
    """The subgraph that holds it is named, not one that works with its results."""
    check_one_weight(copied, name, 0, lambda weight: weight + 0.5)


@pytest.mark.parametrize("seed", range(2))
def test_one_weight_of_the_mlp_head(
    seed: int, bundle: Callable[[str], Bundle], tmp_path: Path
) -> None:
    """A unit of its hidden layers may be silent at one step; golden data holds several."""
    folder = copy_of(bundle("mlp_head_small"), tmp_path / "copied")
    check_one_weight(folder, "head", seed, lambda weight: weight + 0.5)


def test_a_weight_that_is_nan(copied: Path) -> None:
    """No comparison lets NaN pass."""
    check_one_weight(copied, "backbone", 0, lambda _: np.nan)


@pytest.mark.parametrize("slot", [0, 4])
def test_the_position_of_any_slot(slot: int, copied: Path) -> None:
    """`embed` holds a row for each slot; a wrong one is not blamed on the backbone."""
    tables = [entry for entry in weights(copied, "embed") if entry[2] == 10 * 128]
    assert len(tables) == 2  # for context rows and for query rows
    for _, start, _ in tables:
        change_number(copied, "embed.onnx.data", start + slot * 128 + 5, lambda w: w + 0.1)
        assert blamed(copied) == "embed"
        change_number(copied, "embed.onnx.data", start + slot * 128 + 5, lambda w: w - 0.1)


# The mask


def edit_table(folder: Path, edit: Callable[[list[list[int]]], None]) -> None:
    """Change the rows of the block mask in the file, which the exporter wrote."""
    model = onnx.load(folder / "backbone.onnx", load_external_data=False)
    node = next(node for node in model.graph.node if node.op_type == "BlockMask")
    table = next(attribute for attribute in node.attribute if attribute.name == "table")
    rows = np.array(table.ints).reshape(-1, 4).tolist()
    edit(rows)
    table.ints[:] = [value for row in rows for value in row]
    rewrite(folder / "backbone.onnx", model.SerializeToString())
    mend(folder, "backbone.onnx")


TEXT, STATE, VISION, DREAM, ACTION = range(5)


@pytest.mark.parametrize(
    ("reader", "read", "old", "new"),
    [
        (VISION, VISION, (-9, 0), (-9, -1)),  # not its own slot
        (VISION, VISION, (-9, 0), (-9, 1)),  # the next slot too
        (VISION, VISION, (-9, 0), (-8, 0)),  # not the oldest slot
        (STATE, TEXT, (-9, 0), (-9, -1)),
        (TEXT, STATE, (-9, 0), (-9, 1)),
        (DREAM, VISION, (-9, 0), (-8, 0)),
        (ACTION, STATE, (-9, 0), (-9, -1)),
        (ACTION, DREAM, (0, 0), (-1, -1)),
    ],
)
def test_the_mask_off_by_one_slot(
    reader: int, read: int, old: tuple[int, int], new: tuple[int, int], copied: Path
) -> None:
    """In one row of the table."""

    def shift(rows: list[list[int]]) -> None:
        rows[rows.index([reader, read, *old])][2:] = new

    edit_table(copied, shift)
    assert blamed(copied) == "backbone"


# What bundle.json says


def blamed_with(bundle: Bundle, **changes: Any) -> list[str]:
    """What `verify` finds wrong if parts of the manifest were others when it was written."""
    manifest = msgspec.structs.replace(bundle.manifest, **changes)
    return [stage.name for stage in verify(Bundle(bundle.path, manifest)) if not stage.passed]


def test_a_wrong_flip(bundle: Callable[[str], Bundle]) -> None:
    """Of either camera."""
    specification = bundle("calvin_small").manifest.specification
    for index, flip in ((0, "vertical"), (1, "horizontal")):
        cameras = list(specification.cameras)
        cameras[index] = msgspec.structs.replace(cameras[index], flip=flip)
        changed = msgspec.structs.replace(specification, cameras=tuple(cameras))
        assert blamed_with(bundle("calvin_small"), specification=changed) == ["preprocess"]


def test_a_wrong_normalisation(bundle: Callable[[str], Bundle]) -> None:
    """A mean that was rounded to two digits."""
    other = msgspec.structs.replace(
        bundle("calvin_small").manifest.preprocessing, mean=(0.48, 0.46, 0.41)
    )
    assert blamed_with(bundle("calvin_small"), preprocessing=other) == ["preprocess"]


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["sampler"].update(guidance=1.4),
        lambda m: m["sampler"]["alpha_bar"].reverse(),
        lambda m: m["sampler"]["timesteps"].__setitem__(0, 99),
    ],
)
def test_a_wrong_sampler(change: Callable[[Any], object], copied: Path) -> None:
    """It stands in `bundle.json`, which has no hash of its own, and is replayed."""
    edit_manifest(copied, change)
    assert blamed(copied) == "denoise"


# Golden data and files that cannot be read


def arrays_without(name: str, folder: Path) -> dict[str, np.ndarray]:
    """The golden arrays but one."""
    with np.load(folder / "golden.npz") as arrays:
        return {key: value for key, value in arrays.items() if key != name}


def write_golden(folder: Path, **arrays: Any) -> None:
    """Replace a copy's golden data."""
    (folder / "golden.npz").unlink()
    np.savez(folder / "golden.npz", **arrays)
    mend(folder, "golden.npz")


def test_golden_data_with_a_pickle_is_refused(copied: Path) -> None:
    """An object array runs code when it is loaded; here it is the last one to be read."""
    write_golden(copied, **arrays_without("vision", copied), vision=np.array([{}], dtype=object))
    with pytest.raises(BundleError) as caught:
        verify(open_bundle(copied))
    assert "allow_pickle=False" in caught.value.found
    assert caught.value.expected == "the golden data that `dreamvla export` recorded"
    assert caught.value.cure == "export the checkpoint again"


@pytest.mark.parametrize("name", ["text", "prefill_k0", "dream_sam"])
def test_golden_data_without_an_array(name: str, copied: Path) -> None:
    """The array is named."""
    write_golden(copied, **arrays_without(name, copied))
    with pytest.raises(BundleError, match=f"golden.npz of the bundle has no array '{name}'"):
        verify(open_bundle(copied))


def test_golden_data_of_another_shape_fails(copied: Path) -> None:
    """Nothing is broadcast."""
    with np.load(copied / "golden.npz") as arrays:
        first = arrays["queries"][:1]
    write_golden(copied, **arrays_without("queries", copied), queries=first)
    assert blamed(copied) == "embed"


@pytest.mark.parametrize("name", ["backbone.onnx", "embed.onnx", "embed.onnx.data"])
def test_a_file_cut_short(name: str, copied: Path) -> None:
    """With its hash mended: the file that ONNX Runtime refuses is named."""
    content = (copied / name).read_bytes()
    rewrite(copied / name, content[: len(content) // 2])
    mend(copied, name)
    with pytest.raises(BundleError) as caught:
        Policy(copied)
    model = copied / name.removesuffix(".data")
    assert caught.value.found.startswith(f"ONNX Runtime cannot load {model} (")
    assert caught.value.expected == "a subgraph that `dreamvla export` wrote"
    assert caught.value.cure.startswith("export again, or use onnxruntime ")


# The measure


def test_relative_error() -> None:
    """Of the largest golden magnitude; NaN and infinity on either side are infinitely wrong."""
    golden = np.array([1, -4], np.float32)
    assert relative_error(golden + np.float32(0.5), golden) == 0.125
    assert relative_error(golden, golden) == 0
    assert relative_error(golden[:1], golden) == np.inf
    for bad in (np.nan, np.inf, -np.inf):
        assert relative_error(np.array([bad, -4]), golden) == np.inf
        assert relative_error(golden, np.array([bad, -4])) == np.inf
    assert relative_error(np.zeros(2), np.zeros(2)) == 0
    assert relative_error(np.ones(2), np.zeros(2)) > 1


def test_a_stage_with_nan_never_passes() -> None:
    """Neither as error nor as tolerance; at the tolerance it does."""
    assert Stage("text", "use", 1e-5, 1e-5).passed
    assert not Stage("text", "use", np.nan, 1e-5).passed
    assert not Stage("text", "use", 0.0, np.nan).passed
