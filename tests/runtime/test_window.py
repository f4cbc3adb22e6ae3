"""The window gives what the whole network gives, whatever frames come in whatever rhythm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles import Bundles
from dreamvla_edge.model.network import DreamVLA
from dreamvla_edge.runtime.backends import Array, Session
from dreamvla_edge.runtime.backends.onnxruntime import OnnxRuntime
from dreamvla_edge.runtime.bundle import Bundle
from dreamvla_edge.runtime.manifest import SubgraphSpec
from dreamvla_edge.runtime.policy import Policy
from dreamvla_edge.runtime.window import Frame, Window
from episodes import EPISODES
from golden_cases import Golden

TOLERANCE = 1e-5
"""Of the features' largest magnitude: what float32 implementations of two layers agree to."""

RHYTHMS = ("calvin_small", "goal_small", "only_obs_small")
"""Cases whose masks differ; shared queries and heads do not change the window."""


@dataclass(frozen=True)
class Both:
    """One window and the network that it must equal."""

    window: Window
    network: DreamVLA
    text: np.ndarray

    def frame(self, seed: int) -> Frame:
        """Random vision rows at the scale of real ones, and a random state."""
        rng, config = np.random.default_rng(seed), self.network.config
        vision = rng.standard_normal((config.vision_rows, config.backbone.width), np.float32)
        return Frame(vision, rng.uniform(-1, 1, config.state_size).astype(np.float32))

    def expected(self, frames: list[Frame]) -> np.ndarray:
        """Features (Q+P, D) of the newest frame, the window padded with copies of it."""
        config = self.network.config
        kept = frames[-config.window :]
        padded = kept + [kept[-1]] * (config.window - len(kept))
        vision, states = (torch.from_numpy(np.stack(part)) for part in zip(*padded, strict=True))
        features = self.network.window(torch.from_numpy(self.text), states, vision)
        return features[len(kept) - 1, config.context_rows :].numpy()


@pytest.fixture(scope="module", params=RHYTHMS)
def both(request: pytest.FixtureRequest, bundle: Callable[[str], Bundle], bundles: Bundles) -> Both:
    """The window of each case in turn."""
    opened, runtime = bundle(request.param), OnnxRuntime()
    spec = opened.manifest.network
    text = np.random.default_rng(7).standard_normal((1, spec.width), np.float32)
    window = Window(
        spec, lambda name: runtime.load(opened.model(name), opened.manifest.subgraphs[name])
    )
    return Both(window, bundles.network(request.param), text)


steps = st.lists(
    st.tuples(
        st.integers(1, 4),  # new frames before the policy acts
        st.integers(0, 2),  # how often it dreams afterwards
        st.sampled_from([None, 0, 1, 2, 3, 4, 10, 30]),  # frames it then prefills for, if at all
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=15, deadline=None)
@given(rhythm=steps)
def test_any_rhythm_is_exact(both: Both, rhythm: list[tuple[int, int, int | None]]) -> None:
    """Any number of new frames, dreams in between, and prefills for the wrong number or none."""
    window, queries = both.window, range(both.window.spec.query_rows)
    window.reset(both.text)
    frames: list[Frame] = []
    for new, dreams, prefill in rhythm:
        for _ in range(new):
            frames.append(both.frame(len(frames)))
            window.push(frames[-1])
        expected = both.expected(frames)
        found = [(window.features(), expected[window.spec.dream_rows :])]
        found += [(window.features(queries), expected) for _ in range(dreams)]
        for ours, theirs in found:
            assert ours.shape == theirs.shape
            assert np.abs(ours - theirs).max() <= TOLERANCE * np.abs(theirs).max()
        if prefill is not None:
            window.prefill(prefill)


def test_a_prefill_that_fails_leaves_nothing_wrong(
    both: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its buffers hold half of another window then; whatever is asked next is right."""
    window, frames = both.window, [both.frame(seed) for seed in range(14)]

    def failing(inputs: Mapping[str, Array], into: Mapping[str, Array] | None = None) -> Any:
        for buffer in (into or {}).values():
            buffer[...] = 1
        raise MemoryError

    window.reset(both.text)
    for frame in frames[:12]:
        window.push(frame)
        window.features()
        window.prefill()
    # Nine slots are ready for the thirteenth frame; the next nine go to the same memory.
    window.push(frames[12])
    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(window._backbone, "run", failing)
        window.prefill()
    for count in (13, 14):
        if count == 14:
            window.push(frames[13])
        expected = both.expected(frames[:count])[window.spec.dream_rows :]
        assert np.abs(window.features() - expected).max() <= TOLERANCE * np.abs(expected).max()


@pytest.mark.parametrize("data_set", EPISODES)
def test_extra_frames_through_the_policy(
    data_set: str, golden: Golden, bundle: Callable[[str], Bundle]
) -> None:
    """With `observe` between two calls of `act` the chunks of the golden episode stay the same."""
    name, steps = EPISODES[data_set], golden.episode(data_set)
    chunks = golden.outputs(f"episode_{name}")["chunks"]
    last = golden.case(name)["sequence_length"] - 1
    with Policy(bundle(name)) as policy:
        policy.reset(steps[0].instruction)
        for number, step in enumerate(steps[: golden.reset_step]):
            if number not in (0, 1, 4, 6, 9, 13, 14):  # 1, 1, 3, 2, 3, 4 and 1 frames
                policy.observe(step.primary, step.wrist, step.state)
                continue
            noise = golden.episode_noise(name, number)[min(number, last)]
            found = policy.act(step.primary, step.wrist, step.state, noise).actions
            assert np.abs(found - chunks[number]).max() <= TOLERANCE * np.abs(chunks[number]).max()


# The work


@dataclass
class Watched:
    """A back end that writes down every call: the subgraph, and the shapes of its inputs."""

    calls: list[tuple[str, dict[str, tuple[int, ...]]]] = field(default_factory=list)
    runtime: OnnxRuntime = field(default_factory=OnnxRuntime)

    def load(self, model: Path, spec: SubgraphSpec) -> Session:
        """A real session that is watched."""
        return WatchedSession(model.stem, self.runtime.load(model, spec), self)

    def taken(self) -> list[tuple[str, dict[str, tuple[int, ...]]]]:
        """The calls since this was last asked."""
        calls, self.calls = self.calls, []
        return calls


@dataclass(frozen=True)
class WatchedSession:
    """One watched subgraph."""

    name: str
    session: Session
    watched: Watched

    def run(
        self, inputs: Mapping[str, Array], into: Mapping[str, Array] | None = None
    ) -> dict[str, Array]:
        """As the session does."""
        shapes = {name: array.shape for name, array in inputs.items()}
        self.watched.calls.append((self.name, shapes))
        return self.session.run(inputs, into)


def acted(policy: Policy, watched: Watched, new: int) -> tuple[list[str], list[tuple[int, int]]]:
    """One act with `new` frames: the subgraphs that ran, and (T, N) of each backbone call."""
    images = np.zeros((2, 3, 224, 224), np.float32)
    for _ in range(new):
        policy.see(images, np.zeros(7))
    policy.decide()
    policy.prepare()
    policy.settle()
    calls = watched.taken()
    rows = [(i["rows"][0], i["past_k0"][1]) for name, i in calls if name == "backbone"]
    return [name for name, _ in calls], rows


@pytest.mark.parametrize("new", [1, 2, 3])
def test_only_the_work_that_matters_is_done(new: int, bundle: Callable[[str], Bundle]) -> None:
    """The text once, vision once per frame, and the rows that `docs/architecture.md` names.

    While the window fills, the new frames and the queries are added to what is kept; then a step
    finds all older frames computed ahead, and computes the next ones ahead.
    """
    watched = Watched()
    with Policy(bundle("calvin_small"), watched) as policy:
        spec = policy.window.spec
        policy.reset("push the button")
        assert [name for name, _ in watched.taken()] == ["text"]
        a, queries, slots = spec.context_rows, spec.query_rows, 0
        assert (a, queries) == (36, 57)
        for _ in range(7 if new > 1 else 13):
            names, rows = acted(policy, watched, new)
            assert names.count("vision") == new
            assert (names.count("text"), names.count("denoise")) == (0, 10)
            slots = min(slots + new, spec.window)
            past = slots - new
            full = slots + new > spec.window  # the next window slides: prefill what it keeps
            assert rows[0] == (a * new + queries, a * past)
            assert rows[1:] == ([(a * (spec.window - new), 0)] if full else [])


def test_frames_that_come_unexpectedly_cost_one_whole_window(
    bundle: Callable[[str], Bundle],
) -> None:
    """After the rhythm has changed nothing is cached, and one step later all is as before."""
    watched = Watched()
    with Policy(bundle("calvin_small"), watched) as policy:
        policy.reset("push the button")
        for _ in range(11):
            acted(policy, watched, 1)
        assert acted(policy, watched, 2)[1] == [(36 * 10 + 57, 0), (36 * 8, 0)]
        assert acted(policy, watched, 2)[1] == [(36 * 2 + 57, 36 * 8), (36 * 8, 0)]
