"""Plans: presets fit the shipped bundle, and mistakes in a file are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamvla_edge.calibrate.plan import PRESETS, load_plan
from dreamvla_edge.calibrate.quantize import fitted, watched
from dreamvla_edge.runtime.bundle import Bundle, sha256
from dreamvla_edge.runtime.errors import PlanError
from dreamvla_edge.runtime.manifest import MANIFEST_NAME

PLAN = """
version = 1
name = "own"
[subgraphs.denoise]
precision = "w8"
keep = ["*embedder*"]
"""


@pytest.mark.parametrize("name", sorted(path.stem for path in PRESETS.glob("*.toml")))
def test_presets_fit(name: str, shipped: Bundle) -> None:
    """Every one, and it says its name."""
    plan = load_plan(name)
    assert plan.name == name
    # Without the text and the dreams a robot that is told the same would still have them in full.
    assert {*fitted(plan, shipped).subgraphs} == {*shipped.manifest.subgraphs} - {"embed"}


def test_a_pattern_is_for_what_no_name_is_for(tmp_path: Path, shipped: Bundle) -> None:
    """And may match nothing."""
    more = '[subgraphs."d*"]\nprecision = "fp16"\n[subgraphs."x*"]\nprecision = "fp16"\n'
    (tmp_path / "p.toml").write_text(PLAN + more)
    found = fitted(load_plan(str(tmp_path / "p.toml")), shipped).subgraphs
    precisions = {name: choice.precision for name, choice in found.items()}
    dreams = dict.fromkeys(("dream_image", "dream_depth", "dream_sam"), "fp16")
    assert precisions == {"denoise": "w8"} | dreams


def test_weight_only_needs_no_activations(tmp_path: Path) -> None:
    """Unlike the others."""
    (tmp_path / "p.toml").write_text(PLAN + '[subgraphs.vision]\nprecision = "int8"\n')
    assert watched(load_plan(str(tmp_path / "p.toml"))) == ("vision",)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("version = 1", "version = 2", "version 2"),
        ('"w8"', '"int2"', "precision"),
        ("keep", "keeps", "keeps"),
        ('name = "own"', "", "name"),
        ("[subgraphs.denoise]", "[subgraphs.denoise", "no plan"),
        ('keep = ["*embedder*"]', "percentile = 20", "percentile"),
        ('keep = ["*embedder*"]', "smooth = -1", "smooth"),
    ],
)
def test_a_file_that_cannot_be_meant(old: str, new: str, told: str, tmp_path: Path) -> None:
    """The error says what is wrong."""
    assert old in PLAN
    (tmp_path / "p.toml").write_text(PLAN.replace(old, new))
    with pytest.raises(PlanError, match=told):
        load_plan(str(tmp_path / "p.toml"))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("denoise", "denoiser", "the subgraph 'denoiser'"),
        ("*embedder*", "*embeder*", "which is no layer of denoise"),
        ('name = "own"', 'name = "own"\nbundle = "abc"', "was made for the bundle abc"),
    ],
)
def test_a_plan_for_something_else(
    old: str, new: str, told: str, tmp_path: Path, shipped: Bundle
) -> None:
    """Is refused before anything is computed."""
    (tmp_path / "p.toml").write_text(PLAN.replace(old, new))
    with pytest.raises(PlanError, match=told):
        fitted(load_plan(str(tmp_path / "p.toml")), shipped)


def test_a_plan_for_this_bundle(tmp_path: Path, shipped: Bundle) -> None:
    """Fits."""
    mine = sha256(shipped.file(MANIFEST_NAME))
    (tmp_path / "p.toml").write_text(PLAN.replace('"own"', f'"own"\nbundle = "{mine}"'))
    fitted(load_plan(str(tmp_path / "p.toml")), shipped)


def test_an_unknown_name() -> None:
    """Says which there are."""
    with pytest.raises(PlanError, match="cpu, orin"):
        load_plan("fast")
