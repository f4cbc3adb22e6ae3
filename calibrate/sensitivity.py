"""What each group of layers costs, and the fewest that must be kept."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import onnx

from dreamvla_edge.runtime.backends import Session
from dreamvla_edge.runtime.backends.onnxruntime import OnnxRuntime
from dreamvla_edge.runtime.bundle import Bundle
from dreamvla_edge.runtime.manifest import SubgraphSpec

from .accept import Actions, Likeness, decisions, likeness, threshold_of
from .data import Moment
from .layers import layers_of
from .observe import Seen
from .plan import Choice, QuantPlan
from .rewrite import rewritten
from .weights import load_with_weights

_BLOCK = re.compile(r"(.*\.\d+\.(?:attn|mlp)|.*\.\d+)\..*")
"""A block's attention or MLP is one group; so are other things that have a number."""


class Effect(NamedTuple):
    """A group of a subgraph, and what comes of quantizing it alone."""

    subgraph: str
    group: str
    likeness: Likeness


class Rewritten:
    """ONNX Runtime with some subgraphs rewritten in memory."""

    def __init__(self, models: Mapping[str, onnx.ModelProto]) -> None:
        self._models, self._own = models, OnnxRuntime()

    def load(self, model: Path, spec: SubgraphSpec) -> Session:
        """See `Backend.load`."""
        changed = self._models.get(model.name.removesuffix(".onnx"))
        if changed is None:
            return self._own.load(model, spec)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / model.name
            path.write_bytes(changed.SerializeToString())
            return self._own.load(path, spec)


class Reference(NamedTuple):
    """What the bundle decides as it is, at one noise and at another."""

    data: Sequence[Moment]
    wanted: Actions
    seeded: Actions


def reference(bundle: Bundle, data: Sequence[Moment]) -> Reference:
    """Of a bundle on some moments."""
    return Reference(data, decisions(bundle, data, 1), decisions(bundle, data, 2))


def groups_of(bundle: Bundle, subgraph: str, choice: Choice) -> dict[str, tuple[str, ...]]:
    """Layers of a subgraph that a plan quantizes, by group, in order."""
    model = onnx.load(bundle.model(subgraph), load_external_data=False)
    found: dict[str, tuple[str, ...]] = {}
    for layer in layers_of(model):
        if not choice.keeps(layer.name):
            match = _BLOCK.fullmatch(layer.name)
            group = match[1] if match else layer.name
            found[group] = (*found.get(group, ()), layer.name)
    return found


def effects(
    bundle: Bundle,
    plan: QuantPlan,
    seen: Seen,
    known: Reference,
    tell: Callable[[str], None] = lambda line: None,
) -> list[Effect]:
    """Every group of the plan quantized alone, all else in float32; the worst first.

    But for the dreams': an action does not depend on them.
    """
    found = []
    for name, choice in plan.subgraphs.items():
        if name.startswith("dream_"):
            continue
        groups = groups_of(bundle, name, choice)
        for group in groups:
            tell(f"{name}: {group}")
            others = tuple(la for key, own in groups.items() if key != group for la in own)
            alone = msgspec.structs.replace(choice, keep=(*choice.keep, *others))
            effect = _tried(bundle, {name: alone}, seen, known)
            found.append(Effect(name, group, effect))
    return sorted(found, key=lambda effect: -effect.likeness.error)


def fewest_kept(
    bundle: Bundle,
    plan: QuantPlan,
    seen: Seen,
    known: Reference,
    found: Sequence[Effect],
    tell: Callable[[str], None] = lambda line: None,
) -> tuple[QuantPlan, Likeness]:
    """The plan with as few of the worst groups kept as pass; with what it then comes to.

    Errors of groups add up, so that the groups are kept in the order of their own errors; how many
    is found by halving. A plan that passes only with every group kept keeps them all.
    """

    def keeping(count: int) -> QuantPlan:
        choices = dict(plan.subgraphs)
        for effect in found[:count]:
            choice = choices[effect.subgraph]
            layers = groups_of(bundle, effect.subgraph, plan.subgraphs[effect.subgraph])
            choices[effect.subgraph] = msgspec.structs.replace(
                choice, keep=(*choice.keep, *layers[effect.group])
            )
        return msgspec.structs.replace(plan, subgraphs=choices)

    low, high = 0, len(found)  # with `high` kept it passes
    best = keeping(high), _tried(bundle, keeping(high).subgraphs, seen, known)
    while low < high:
        middle = (low + high) // 2
        tried = keeping(middle)
        likely = _tried(bundle, tried.subgraphs, seen, known)
        tell(f"{middle} of {len(found)} groups kept: {likely.error_share:.3f} of a seed's spread")
        if likely.passed:
            high, best = middle, (tried, likely)
        else:
            low = middle + 1
    return best


def _tried(bundle: Bundle, choices: Mapping[str, Choice], seen: Seen, known: Reference) -> Likeness:
    models = {
        name: rewritten(load_with_weights(bundle.model(name)), choice, seen.get(name, {}))
        for name, choice in choices.items()
    }
    mine = decisions(bundle, known.data, 1, backend=Rewritten(models))
    return likeness(mine, known.wanted, known.seeded, threshold_of(bundle))
