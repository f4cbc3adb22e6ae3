"""Replays a bundle's golden data through its subgraphs, stage by stage.

Each stage gets golden inputs, so an error shows in the stage that makes it and not in all that
follow; only keys and values, which are too large to store, come from the stage before.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .bundle import GOLDEN_NAME, Bundle
from .errors import BundleError, ParityError
from .policy import Policy
from .window import Frame

Arrays = dict[str, npt.NDArray[Any]]

PREFILL_STRIDE = 7
"""Golden keys and values hold every seventh row, which meets every kind of token."""
DREAM_STRIDE = 7
"""Golden dreams hold every seventh token."""
PREPROCESS_TOLERANCE = 1e-6
"""Preprocessing is the same arithmetic on both sides; this leaves room for one rounding."""


class Stage(NamedTuple):
    """One comparison: error and tolerance relative to the largest golden magnitude."""

    name: str
    use: str
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        """Whether the error is within the tolerance; a NaN never is."""
        return self.error <= self.tolerance


def prefill_layers(layers: int) -> tuple[int, ...]:
    """Layers whose keys and values are in the golden data: first, middle and last."""
    return tuple(sorted({0, layers // 2, layers - 1}))


def relative_error(found: npt.NDArray[Any], golden: npt.NDArray[Any]) -> float:
    """Largest difference over the largest golden magnitude; infinite for NaN or other shapes."""
    if found.shape != golden.shape:
        return math.inf
    difference = np.abs(np.asarray(found, np.float64) - golden)
    if not np.isfinite(difference).all():
        return math.inf
    return float(difference.max(initial=0.0) / max(np.abs(golden).max(initial=0.0), 1e-30))


def verify(bundle: Bundle, backend: str = "onnxruntime", threads: int | None = None) -> list[Stage]:
    """All stages in the order of a step, each compared with the golden data.

    Raises BundleError if the golden data is missing or damaged.
    """
    golden = _read(bundle)
    with Policy(bundle, backend, threads) as policy:
        return [*_inputs(policy, golden), *_backbone(policy, golden), *_outputs(policy, golden)]


def require(stages: list[Stage], bundle: Bundle) -> None:
    """Raise ParityError that names the first stage out of tolerance, if there is one."""
    for stage in stages:
        if not stage.passed:
            raise ParityError(
                f"{stage.name} ({stage.use}) of {bundle.path} differs from the network by"
                f" {stage.error:.2g}",
                f"at most {stage.tolerance:.0e} of the largest value",
                f"{stage.name} is the first stage that is wrong: export again, and if the error"
                " stays, report it with the versions in bundle.json",
            )


class _Golden(Arrays):
    """The golden arrays by name; asking for one that is not there raises BundleError."""

    def __missing__(self, name: str) -> npt.NDArray[Any]:
        raise _unreadable(f"has no array {name!r}")


def _read(bundle: Bundle) -> Arrays:
    try:
        with np.load(bundle.file(GOLDEN_NAME), allow_pickle=False) as arrays:
            return _Golden(arrays)
    except Exception as error:  # NumPy has no one error for a file that is none of its own
        raise _unreadable(f"cannot be read ({error})") from None


def _unreadable(what: str) -> BundleError:
    return BundleError(
        f"{GOLDEN_NAME} of the bundle {what}",
        "the golden data that `dreamvla export` recorded",
        "export the checkpoint again",
    )


def _stage(
    policy: Policy, name: str, use: str, found: npt.NDArray[Any], golden: npt.NDArray[Any]
) -> Stage:
    tolerance = policy.bundle.manifest.subgraphs[name].tolerance
    return Stage(name, use, relative_error(found, golden), tolerance)


def _inputs(policy: Policy, golden: Arrays) -> Iterator[Stage]:
    images = policy.images(golden["frames_primary"][0], golden["frames_wrist"][0])
    error = relative_error(images, golden["images"])
    yield Stage("preprocess", "first frame", error, PREPROCESS_TOLERANCE)
    tokens = policy.tokens(str(golden["instruction"]))
    yield Stage("tokenizer", "instruction", relative_error(tokens, golden["tokens"]), 0.0)
    yield _stage(policy, "text", "instruction", policy.text(golden["tokens"]), golden["text"])
    vision = policy.vision(golden["images"])
    yield _stage(policy, "vision", "first frame", vision, golden["vision"][0])
    yield from _embedding(policy, golden)


def _embedding(policy: Policy, golden: Arrays) -> Iterator[Stage]:
    """Every slot, since each has a position of its own."""
    window, frames = policy.window, _frames(golden)[1:]
    window.reset(golden["text"])
    pairs = [window.embed(frames, 0, slot) for slot in range(window.spec.window)]
    queries = np.stack([queries for _, queries in pairs])
    context = np.concatenate(golden["context"])
    yield _stage(policy, "embed", "context rows", pairs[0][0], context)
    yield _stage(policy, "embed", "query rows", queries, golden["queries"])


def _frames(golden: Arrays) -> list[Frame]:
    return [Frame(*pair) for pair in zip(golden["vision"], golden["states"], strict=True)]


def _backbone(policy: Policy, golden: Arrays) -> Iterator[Stage]:
    """Fill the window frame by frame, prefill the next one, step."""
    window, frames = policy.window, _frames(golden)
    window.reset(golden["text"])
    for count, frame in enumerate(frames[:-1], 1):
        window.push(frame)
        features = window.features()
        if count == 1:
            yield _stage(policy, "backbone", "fill, first", features, golden["features"][0])
    yield _stage(policy, "backbone", "fill, full", features, golden["features"][1])
    window.prefill()
    errors = [
        relative_error(window.cached(name)[:, ::PREFILL_STRIDE], golden[f"prefill_{name}"])
        for layer in prefill_layers(window.spec.layers)
        for name in (f"k{layer}", f"v{layer}")
    ]
    tolerance = policy.bundle.manifest.subgraphs["backbone"].tolerance
    yield Stage("backbone", "prefill", max(errors), tolerance)
    window.push(frames[-1])
    yield _stage(policy, "backbone", "step", window.features(), golden["features"][2])


def _outputs(policy: Policy, golden: Arrays) -> Iterator[Stage]:
    features = golden["features"][-1]
    if policy.bundle.manifest.network.action_head == "mlp":
        chunks = [policy.actions(step, golden["noise"][-1]) for step in golden["features"]]
        yield _stage(policy, "head", "every step", np.stack(chunks), golden["actions"])
    else:
        sampler = policy.bundle.manifest.sampler
        assert sampler is not None  # `open_bundle` refuses a denoiser without one
        found = [
            policy.predict_noise(x[None], t[None], features, sampler.guidance)[0]
            for x, t in zip(golden["denoise_x"], golden["denoise_t"], strict=True)
        ]
        yield _stage(policy, "denoise", "every time step", np.stack(found), golden["denoise_noise"])
        actions = policy.actions(features, golden["noise"][-1])
        yield _stage(policy, "denoise", "sampled actions", actions, golden["actions"][-1])
    for name, dream in policy.dreams().items():
        subgraph = f"dream_{name}"
        found_dream = dream[:, ::DREAM_STRIDE]
        yield _stage(policy, subgraph, "last step", found_dream, golden[subgraph])
