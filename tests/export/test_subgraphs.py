"""Each subgraph, step by step: network → wrapper → ONNX → ONNX Runtime."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import Tensor

from bundles import Bundles
from dreamvla_edge.export.subgraphs import Subgraph, subgraphs
from dreamvla_edge.model.network import CAMERAS, DreamVLA
from dreamvla_edge.runtime.bundle import Bundle

TOLERANCE = 1e-5
"""Of an output's largest magnitude: what float32 implementations of two layers agree to."""

Arrays = dict[str, np.ndarray]

DREAMS = ("dream_image", "dream_depth", "dream_sam")
A, QUERIES, P, WIDTH, SLOTS, HEADS, LAYERS = 36, 57, 3, 128, 10, 4, 2


@dataclass(frozen=True)
class Parts:
    """The network of `calvin_small`, its wrappers by name and the folder of its ONNX files."""

    network: DreamVLA
    wrappers: dict[str, Subgraph]
    folder: Path

    def wrapped(self, name: str, inputs: Arrays) -> Arrays:
        """What a wrapper computes in PyTorch."""
        part = self.wrappers[name]
        tensors = [torch.from_numpy(inputs[key]) for key in part.inputs]
        if name == "backbone":
            tensors = [*tensors[:6], tuple(tensors[6:])]  # type: ignore[list-item]
        with torch.inference_mode():
            outputs = part.module(*tensors)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return {key: value.numpy() for key, value in zip(part.outputs, outputs, strict=True)}

    def reference(self, name: str, inputs: Arrays) -> Arrays:
        """What the ONNX file means, by ONNX's own slow interpreter."""
        model = ReferenceEvaluator(onnx.load(self.folder / f"{name}.onnx"))
        return dict(zip(model.output_names, model.run(None, inputs), strict=True))

    def runtime(self, name: str, inputs: Arrays) -> Arrays:
        """What ONNX Runtime makes of the file, asked without our back end."""
        path = str(self.folder / f"{name}.onnx")
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(None, inputs), strict=True))


@pytest.fixture(scope="module")
def parts(
    bundle: Callable[[str], Bundle], bundles: Bundles, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Parts]:
    """All of `calvin_small`.

    In a copy of its own: the onnx package refuses files that other tests have made links to.
    """
    network = bundles.network("calvin_small")
    wrappers = {part.name: part for part in subgraphs(network)}
    folder = tmp_path_factory.mktemp("parts") / "bundle"
    shutil.copytree(bundle("calvin_small").path, folder)
    yield Parts(network, wrappers, folder)
    shutil.rmtree(folder)


def normal(seed: int, *shape: int) -> np.ndarray:
    """Standard normal float32 numbers."""
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def assert_close(found: Arrays, expected: dict[str, Any]) -> None:
    """The same outputs, each within the tolerance; NaN is not."""
    assert set(found) == set(expected)
    for name, theirs in expected.items():
        ours, theirs = found[name], np.asarray(theirs)
        assert ours.shape == theirs.shape and ours.dtype == np.float32, name
        if theirs.size:
            assert np.abs(ours - theirs).max() <= TOLERANCE * np.abs(theirs).max(), name


def assert_all_steps(parts: Parts, name: str, inputs: Arrays, eager: dict[str, Any]) -> None:
    """Eager network, wrapper, ONNX and ONNX Runtime agree in turn."""
    wrapped = parts.wrapped(name, inputs)
    assert_close(wrapped, eager)
    assert_close(parts.reference(name, inputs), wrapped)
    assert_close(parts.runtime(name, inputs), wrapped)


def test_text(parts: Parts) -> None:
    """Random words, an end somewhere and zeros after it."""
    tokens = np.zeros((1, 77), np.int32)
    tokens[0, :30] = [49406, *np.random.default_rng(0).integers(1, 49406, 28), 49407]
    with torch.inference_mode():
        eager = parts.network.text(torch.from_numpy(tokens).long())
    assert_all_steps(parts, "text", {"tokens": tokens}, {"text": eager})


def test_vision(parts: Parts) -> None:
    """Primary and wrist images are told apart; resampled rows first, then both CLS."""
    images, network = normal(1, 2, 3, 224, 224), parts.network
    with torch.inference_mode():
        rows, last = [], []
        for index, camera in enumerate(CAMERAS):
            seen = network.see(torch.from_numpy(images[index : index + 1]))
            cls, resampled = network.project(*seen, camera)
            rows.append(resampled[0])
            last.append(cls[0])
        eager = torch.cat(rows + last)
    assert eager.shape == (A - 2, WIDTH)
    assert_all_steps(parts, "vision", {"images": images}, {"vision": eager})


@pytest.mark.parametrize(("slots", "query_slot"), [([0], 0), ([3, 4, 5], 9), ([9], 9)])
def test_embed(slots: list[int], query_slot: int, parts: Parts) -> None:
    """Any number of steps in any slots; the queries of one slot."""
    n = len(slots)
    states = normal(2, n, 7)
    states[:, 6] = np.resize([-1, 1], n)
    inputs = {
        "text": normal(3, 1, WIDTH),
        "states": states,
        "vision": normal(4, n, A - 2, WIDTH),
        "slots": np.array(slots, np.int32),
        "query_slot": np.array([query_slot], np.int32),
    }
    text, state, vision, at, query = (torch.from_numpy(array) for array in inputs.values())
    with torch.inference_mode():
        eager = {
            "context": parts.network.context(text, state, vision, at.long()).flatten(0, 1),
            "queries": parts.network.queries(query.long())[0],
        }
    assert_all_steps(parts, "embed", inputs, eager)


def backbone_inputs(window: Window, old: int, new: int, read: Any) -> Arrays:
    """Context rows of `new` slots after `old` cached ones; if rows are read, queries follow."""
    kinds = np.array([0, 1] + [2] * 34, np.int32)
    queries = [3] * 54 + [4] * 3 if len(read) else []
    newest = old + new - 1
    rows = [*window.context[old : old + new], *([window.queries[newest]] if queries else [])]
    kind = np.concatenate([np.tile(kinds, new), queries])
    slot = np.concatenate([np.repeat(range(old, old + new), A), [newest] * len(queries)])
    return {
        "rows": np.concatenate(rows),
        "kind": kind.astype(np.int32),
        "slot": slot.astype(np.int32),
        "read": np.asarray(read, np.int32),
        "past_kind": np.tile(kinds, old),
        "past_slot": np.repeat(np.arange(old, dtype=np.int32), A),
        **{f"past_{name}": tensor[:, : old * A] for name, tensor in window.kept.items()},
    }


@dataclass(frozen=True)
class Window:
    """Rows of a whole random window, and what the network computes from them."""

    context: np.ndarray
    queries: np.ndarray
    features: np.ndarray
    kept: Arrays


@pytest.fixture(scope="module")
def window(parts: Parts) -> Window:
    """Keys and values are recorded where the network's own attention makes them."""
    network, kept = parts.network, {}

    def keep(layer: int) -> Callable[[Any, Any, Tensor], None]:
        def hook(_module: Any, _inputs: Any, packed: Tensor) -> None:
            rows = packed[0].unflatten(0, (SLOTS, -1))[:, :A].flatten(0, 1)
            for name, part in zip("qkv", rows.split(WIDTH, -1), strict=True):
                kept[f"{name}{layer}"] = part.unflatten(1, (HEADS, -1)).transpose(0, 1).numpy()

        return hook

    hooks = [
        block.attn.c_attn.register_forward_hook(keep(layer))
        for layer, block in enumerate(network.transformer_backbone.h)
    ]
    text, slots = torch.from_numpy(normal(5, 1, WIDTH)), torch.arange(SLOTS)
    states, vision = (
        torch.from_numpy(normal(6 + i, SLOTS, *shape))
        for i, shape in enumerate([(7,), (34, WIDTH)])
    )
    with torch.no_grad():
        features = network.window(text, states, vision)
        context = network.context(text, states, vision, slots)
        queries = network.queries(slots)
    for hook in hooks:
        hook.remove()
    kept = {name: tensor for name, tensor in kept.items() if name[0] != "q"}
    return Window(context.numpy(), queries.numpy(), features.numpy(), kept)


@pytest.mark.parametrize(("old", "new"), [(0, 1), (3, 1), (9, 1), (0, 10), (8, 2), (2, 3)])
def test_backbone_in_a_fill_or_step(old: int, new: int, parts: Parts, window: Window) -> None:
    """New slots after cached ones: their keys and values, and features of all their queries."""
    inputs = backbone_inputs(window, old, new, np.arange(new * A, new * A + QUERIES))
    found = parts.wrapped("backbone", inputs)
    fresh = slice(old * A, (old + new) * A)
    eager = {name: tensor[:, fresh] for name, tensor in window.kept.items()}
    eager["features"] = window.features[old + new - 1, A:]
    context = {name: found[name][:, : new * A] for name in window.kept}
    assert_close({**context, "features": found["features"]}, eager)
    assert_close(parts.reference("backbone", inputs), found)
    assert_close(parts.runtime("backbone", inputs), found)


def test_backbone_in_a_prefill(parts: Parts, window: Window) -> None:
    """Only keys and values; no row is read, so the features are empty."""
    eager = {name: tensor[:, : 9 * A] for name, tensor in window.kept.items()}
    eager["features"] = np.zeros((0, WIDTH), np.float32)
    assert_all_steps(parts, "backbone", backbone_inputs(window, 0, 9, []), eager)


def test_features_of_any_rows_in_any_order(parts: Parts, window: Window) -> None:
    """`read` picks rows; a context row's features are the network's too."""
    first, last = 10 * A, 10 * A + QUERIES - 1
    inputs = backbone_inputs(window, 0, 10, [last, first, 9 * A + 1, last])
    found = parts.runtime("backbone", inputs)["features"]
    expected = window.features[9][[A + QUERIES - 1, A, 1, A + QUERIES - 1]]
    assert_close({"features": found}, {"features": expected})


@pytest.mark.parametrize("batch", [1, 3])
def test_denoise(batch: int, parts: Parts) -> None:
    """One sample, or all time steps at once; guidance is an input."""
    inputs = {
        "x": normal(8, batch, P, 7),
        "t": np.arange(90, 90 - 10 * batch, -10, dtype=np.int32) % 100,
        "features": normal(9, P, WIDTH),
        "guidance": np.array([1.7], np.float32),
    }
    x, t, features, _ = (torch.from_numpy(array) for array in inputs.values())
    net = parts.network.action_model.net
    with torch.inference_mode():
        shared = features[None].expand(batch, -1, -1)
        free = net.z_embedder.uncondition.expand(batch, P, -1)
        with_, without = net(x, t, shared), net(x, t, free)
        eager = without + 1.7 * (with_ - without)
    assert_all_steps(parts, "denoise", inputs, {"noise": eager})


@pytest.mark.parametrize("name", DREAMS)
def test_dreams(name: str, parts: Parts) -> None:
    """Each head takes its own part of the dream features."""
    features = normal(10, 54, WIDTH)
    with torch.inference_mode():
        eager = parts.network.dream(name.removeprefix("dream_"), torch.from_numpy(features))
    assert_all_steps(parts, name, {"features": features}, {"prediction": eager})


def test_mlp_head(bundle: Callable[[str], Bundle], bundles: Bundles) -> None:
    """Instead of the denoiser."""
    network = bundles.network("mlp_head_small")
    wrappers = {part.name: part for part in subgraphs(network)}
    parts = Parts(network, wrappers, bundle("mlp_head_small").path)
    features = normal(11, P, WIDTH)
    with torch.inference_mode():
        eager = network.mlp_action(torch.from_numpy(features))
    assert_all_steps(parts, "head", {"features": features}, {"actions": eager})
    assert "denoise" not in wrappers
