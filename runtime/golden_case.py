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
    _check_fit(bundle, observations, folder, case)
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


def _check_fit(bundle: Bundle, observations: Arrays, folder: Path, case: str) -> None:
    spec = bundle.manifest.network
    found = observations["state"].shape[1:]
    expected = (spec.window, bundle.manifest.specification.state.size)
    if found != expected:
        raise BundleError(
            f"case {case!r} of {folder} has {found[0]} steps and states of {found[1]} numbers",
            f"{expected[0]} steps and states of {expected[1]} numbers, as {bundle.path}",
            "choose the case that the checkpoint belongs to",
        )


def _stages(policy: Policy, observations: Arrays, outputs: Arrays) -> Iterator[Stage]:
    head = "denoise" if policy.bundle.manifest.network.action_head == "dit" else "head"
    tolerances = {name: spec.tolerance for name, spec in policy.bundle.manifest.subgraphs.items()}

    def stage(name: str, use: str, found: Any, array: str, slot: int | None = None) -> Stage:
        golden = outputs[array] if slot is None else outputs[array][slot]
        return Stage(name, use, relative_error(found, golden), tolerances[name])

    if "mask_reads" in outputs:
        allowed = window_reads(policy.bundle.manifest.network)
        packed = np.packbits(allowed, axis=1)
        error = relative_error(packed, outputs["mask_reads"])
        yield Stage("mask", "whole window", error, 0.0)
    tokens = observations["text_token"][0, :1].astype(np.int32)
    text = policy.text(tokens)
    if "text_embedding" in outputs:
        yield stage("text", "instruction", text, "text_embedding")
    pairs = np.stack([observations["image_primary"][0], observations["image_wrist"][0]], 1)
    states = observations["state"][0]
    frames = [Frame(*pair) for pair in zip(map(policy.vision, pairs), states, strict=True)]
    policy.window.reset(text)
    for slot, frame in enumerate(frames):
        policy.window.push(frame)
        features = policy.window.features(ahead=frames[slot + 1 :])
        yield from _step(policy, stage, head, f"slot {slot}, fill", features, observations, slot)
    last = len(frames) - 1
    for use in ("prefill and step", "one pass"):
        policy.window.reset(text)
        for frame in frames[:-1]:
            policy.window.push(frame)
        if use == "prefill and step":
            policy.window.prefill()
        policy.window.push(frames[-1])
        features = policy.window.features()
        yield from _step(policy, stage, head, f"slot {last}, {use}", features, observations, last)
    for name, dream in policy.dream().items():
        golden = outputs.get(f"dream_{name}_last")
        if golden is not None:
            found = dream[:, None, ::7] if dream.size > LARGE else dream[:, None]
            if found.shape != golden.shape:
                found = dream[:, None]
            yield stage(f"dream_{name}", "last slot", found, f"dream_{name}_last")


def _step(
    policy: Policy,
    stage: Any,
    head: str,
    use: str,
    features: npt.NDArray[np.float32],
    observations: Arrays,
    slot: int,
) -> Iterator[Stage]:
    yield stage("backbone", use, features, "action_features", slot)
    actions = policy.actions(features, observations["noise"][slot])
    yield stage(head, use, actions, "actions", slot)
