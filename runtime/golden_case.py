"""Runs a case in the format of the golden data of the released code through a bundle.

Such a folder holds `cases.json`, `outputs/<case>.npz` and `synth.py`, a Python file that draws
the observations; it is run, so use folders you trust.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .bundle import Bundle
from .errors import BundleError
from .mask import window_reads
from .policy import Policy
from .verify import Stage, relative_error
from .window import Frame

Arrays = dict[str, npt.NDArray[Any]]
LARGE = 200_000
"""Dreams with more numbers than this are stored as every seventh token."""


def compare_case(
    bundle: Bundle,
    folder: Path,
    case: str,
    seed: int | None = None,
    backend: str = "onnxruntime",
    threads: int | None = None,
) -> list[Stage]:
    """Every array of the case that the bundle computes too, at every window slot.

    seed: of the observations, None for the folder's own. Errors are relative to the largest
    magnitude in the slot. Raises BundleError when the folder or case cannot be read or does not
    fit the bundle's network.
    """
    observations, outputs = _load(folder, case, seed)
    _check_fit(bundle, observations, outputs, case)
    with Policy(bundle, backend, threads) as policy:
        return list(_stages(policy, observations, outputs))


def _load(folder: Path, case: str, seed: int | None) -> tuple[Arrays, Arrays]:
    try:
        cases = json.loads((folder / "cases.json").read_text())
        if case not in cases:
            raise BundleError(
                f"no case {case!r} in {folder / 'cases.json'}",
                "one of " + ", ".join(cases),
                "name one of them with --case",
            )
        spec = importlib.util.spec_from_file_location("golden_synth", folder / "synth.py")
        assert spec is not None and spec.loader is not None
        synth = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(synth)
        seeds = () if seed is None else (seed,)
        observations: Arrays = synth.observations(cases[case], *seeds)
        with np.load(folder / "outputs" / f"{case}.npz", allow_pickle=False) as arrays:
            return observations, dict(arrays)
    except BundleError:
        raise
    except Exception as error:  # NumPy and a damaged `synth.py` have no one error
        raise BundleError(
            f"{folder} cannot be read ({error})",
            "cases.json, synth.py and outputs/<case>.npz",
            "give a folder of golden data with --golden",
        ) from None


def _check_fit(bundle: Bundle, observations: Arrays, outputs: Arrays, case: str) -> None:
    spec = bundle.manifest.network
    found = (*observations["state"].shape[1:], *observations["noise"].shape[:2])
    state = bundle.manifest.specification.state.size
    expected = (spec.window, state, spec.window, spec.action_steps)
    if found != expected:
        raise BundleError(
            f"case {case!r} has states and noise of {found[:2]} and {found[2:]}",
            f"{expected[:2]} and {expected[2:]}, as {bundle.path}",
            "choose the case that the checkpoint belongs to",
        )
    known = {"mask_reads", "text_embedding", "action_features", "actions"}
    known |= {f"dream_{dream.name}_last" for dream in spec.dreams}
    if not known & set(outputs):
        raise BundleError(
            f"case {case!r} holds none of the arrays that a bundle computes",
            "one or more of " + ", ".join(sorted(known)),
            "give a folder of golden data with --golden",
        )


def _stages(policy: Policy, observations: Arrays, outputs: Arrays) -> Iterator[Stage]:
    """Compared is what is there; `vision_cls_*` and `resampled_*` lie inside `vision`."""
    head = "denoise" if policy.bundle.manifest.network.action_head == "dit" else "head"
    tolerances = {name: spec.tolerance for name, spec in policy.bundle.manifest.subgraphs.items()}

    def stage(name: str, use: str, found: Any, array: str) -> Iterator[Stage]:
        if array in outputs:
            yield Stage(name, use, relative_error(found, outputs[array]), tolerances[name])

    def step(use: str, slot: int, features: npt.NDArray[np.float32]) -> Iterator[Stage]:
        actions = policy.actions(features, observations["noise"][slot])
        pairs = (("backbone", features, "action_features"), (head, actions, "actions"))
        for name, found, array in pairs:
            if array in outputs:
                golden = outputs[array][slot] if slot < len(outputs[array]) else np.empty(0)
                error = relative_error(found, golden)
                yield Stage(name, f"slot {slot}, {use}", error, tolerances[name])

    if "mask_reads" in outputs:
        packed = np.packbits(window_reads(policy.bundle.manifest.network), axis=1)
        yield Stage("mask", "whole window", relative_error(packed, outputs["mask_reads"]), 0.0)
    text = policy.text(observations["text_token"][0, :1].astype(np.int32))
    yield from stage("text", "instruction", text, "text_embedding")
    images = np.stack([observations["image_primary"][0], observations["image_wrist"][0]], 1)
    states = observations["state"][0]
    frames = [Frame(*pair) for pair in zip(map(policy.vision, images), states, strict=True)]
    window, last = policy.window, len(frames) - 1
    window.reset(text)
    for slot, frame in enumerate(frames):
        window.push(frame)
        yield from step("fill", slot, window.features(ahead=frames[slot + 1 :]))
    for use in ("prefill and step", "one pass"):
        window.reset(text)
        for frame in frames[:-1]:
            window.push(frame)
        if use == "prefill and step":
            window.prefill()
        window.push(frames[-1])
        yield from step(use, last, window.features())
    for name, dream in policy.dreams().items():
        thinned = dream[:, None, ::7] if dream.size > LARGE else dream[:, None]
        yield from stage(f"dream_{name}", "last slot", thinned, f"dream_{name}_last")
