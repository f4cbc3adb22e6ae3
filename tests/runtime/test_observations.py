"""What a policy refuses, each time with found, expected and cure, and that it stays unharmed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from dreamvla_edge.runtime.bundle import Bundle
from dreamvla_edge.runtime.errors import ObservationError
from dreamvla_edge.runtime.policy import Policy
from golden_cases import Golden, RawStep

NAN_STATE = np.array([0, np.nan, 0, 0, 0, 0, np.inf], np.float32)
NOISE = np.zeros((3, 7), np.float32)


@pytest.fixture(scope="module")
def policies(bundle: Callable[[str], Bundle]) -> Iterator[tuple[Policy, Policy]]:
    """Two policies of one bundle: one will be given bad input, the other never."""
    opened = bundle("calvin_small")
    with Policy(opened, threads=1) as disturbed, Policy(opened, threads=1) as undisturbed:
        yield disturbed, undisturbed


@pytest.fixture(scope="module")
def steps(golden: Golden) -> list[RawStep]:
    """Raw observations of the golden episode."""
    return golden.episode("calvin")


def changed(step: RawStep, noise: Any = NOISE, **fields: Any) -> tuple[Any, ...]:
    """Arguments of `act` for a step with something else in place of one."""
    return (*step._replace(**fields)[:3], noise)


BAD = {
    "primary too small": (
        lambda s: changed(s, primary=s.primary[:199]),
        "a primary frame of shape (199, 200, 3)",
        "(height, width, 3) = (200, 200, 3), as in the training data",
        "crop and resize the frame to that size",
    ),
    "cameras swapped": (
        lambda s: changed(s, primary=s.wrist, wrist=s.primary),
        "a primary frame of shape (84, 84, 3)",
        "(200, 200, 3)",
        "crop and resize the frame",
    ),
    "wrist in grey": (
        lambda s: changed(s, wrist=s.wrist[..., 0]),
        "a wrist frame of shape (84, 84)",
        "(84, 84, 3)",
        "crop and resize the frame",
    ),
    "channels first": (
        lambda s: changed(s, wrist=s.wrist.transpose(2, 0, 1)),
        "a wrist frame of shape (3, 84, 84)",
        "(84, 84, 3)",
        "crop and resize the frame",
    ),
    "float frame": (
        lambda s: changed(s, primary=s.primary / 255),
        "a primary frame of float64",
        "uint8, 0 to 255",
        "pass the camera's raw frame",
    ),
    "signed frame": (
        lambda s: changed(s, wrist=s.wrist.astype(np.int16)),
        "a wrist frame of int16",
        "uint8, 0 to 255",
        "pass the camera's raw frame",
    ),
    "list as a frame": (
        lambda s: changed(s, primary=s.primary.tolist()),
        "a primary frame of type list",
        "a NumPy array",
        "np.asarray",
    ),
    "no frame": (
        lambda s: changed(s, wrist=None),
        "a wrist frame of type NoneType",
        "a NumPy array",
        "np.asarray",
    ),
    "state not finite": (
        lambda s: changed(s, state=NAN_STATE),
        "a state that is not finite at (1,), (6,)",
        "finite numbers",
        "check the sensor",
    ),
    "state of LIBERO": (
        lambda s: changed(s, state=np.zeros(8)),
        "a state of shape (8,)",
        "shape (7,)",
        "pass the state that the bundle's data set names",
    ),
    "state with a batch": (
        lambda s: changed(s, state=s.state[None]),
        "a state of shape (1, 7)",
        "shape (7,)",
        "pass the state",
    ),
    "state in words": (
        lambda s: changed(s, state="home"),
        "a state of type str",
        "numbers of shape (7,)",
        "pass the state",
    ),
    "state as numbers in words": (
        lambda s: changed(s, state=["0"] * 7),
        "a state of type list",
        "numbers of shape (7,)",
        "pass the state",
    ),
    "ragged state": (
        lambda s: changed(s, state=[[1, 2], [3]]),
        "a state of type list",
        "numbers of shape (7,)",
        "pass the state",
    ),
    "state that float32 cannot hold": (
        lambda s: changed(s, state=[1e39] * 7),
        "a state that is not finite at",
        "finite numbers",
        "check the sensor",
    ),
    "noise not finite": (
        lambda s: changed(s, noise=NOISE + np.nan),
        "a noise that is not finite at",
        "finite numbers",
        "check",
    ),
    "noise of all slots": (
        lambda s: changed(s, noise=np.zeros((10, 3, 7))),
        "a noise of shape (10, 3, 7)",
        "shape (3, 7)",
        "pass standard normal numbers",
    ),
}
"""Name → arguments from a good step, and what the error must say."""


@pytest.mark.parametrize("name", BAD)
def test_a_bad_observation(
    name: str, policies: tuple[Policy, Policy], steps: list[RawStep]
) -> None:
    """The error says what is wrong; the actions before and after it are those without it."""
    bad, *told = BAD[name]
    for policy in policies:
        policy.reset("open the drawer")
    for step in steps[:2]:
        chunks = [policy.act(*changed(step)) for policy in policies]
        np.testing.assert_array_equal(chunks[0].actions, chunks[1].actions)
        with pytest.raises(ObservationError) as caught:
            policies[0].act(*bad(step))
        error = caught.value
        for said, expected in zip((error.found, error.expected, error.cure), told, strict=True):
            assert expected in said


def test_bad_input_while_the_window_slides(
    policies: tuple[Policy, Policy], steps: list[RawStep]
) -> None:
    """What was computed ahead is still there, and nothing was pushed by halves."""
    for policy in policies:
        policy.reset("open the drawer")
    for number, step in enumerate(steps[:12]):
        chunks = [policy.act(*changed(step)) for policy in policies]
        np.testing.assert_array_equal(chunks[0].actions, chunks[1].actions)
        if number >= 9:
            for bad, *_ in BAD.values():
                with pytest.raises(ObservationError):
                    policies[0].act(*bad(step))


@pytest.mark.parametrize(
    ("instruction", "found"),
    [
        ("", "an empty instruction"),
        (" \t\n", "an empty instruction"),
        (None, "an instruction of type NoneType"),
        (b"open the drawer", "an instruction of type bytes"),
        ("drawer " * 80, "an instruction of 80 tokens"),
    ],
)
def test_a_bad_instruction(
    instruction: Any, found: str, policies: tuple[Policy, Policy], steps: list[RawStep]
) -> None:
    """It starts nothing: the episode that was going on goes on."""
    for policy in policies:
        policy.reset("open the drawer")
        policy.act(*changed(steps[0]))
    with pytest.raises(ObservationError) as caught:
        policies[0].reset(instruction)
    assert caught.value.found == found
    chunks = [policy.act(*changed(steps[1])) for policy in policies]
    np.testing.assert_array_equal(chunks[0].actions, chunks[1].actions)


def test_before_an_instruction(bundle: Callable[[str], Bundle], steps: list[RawStep]) -> None:
    """Nothing works before `reset`; afterwards a decision needs an observation."""
    with Policy(bundle("calvin_small"), threads=1) as policy:
        for call in (
            lambda: policy.act(*changed(steps[0])),
            lambda: policy.observe(*steps[0][:3]),
            policy.decide,
            policy.dream,
        ):
            with pytest.raises(ObservationError) as caught:
                call()
            assert "before any" in caught.value.found
            assert "call reset with what the arm shall do" in caught.value.cure
        policy.reset("open the drawer")
        for call in (policy.decide, policy.dream):
            with pytest.raises(ObservationError, match="before any observation"):
                call()
        assert policy.act(*changed(steps[0])).actions.shape == (3, 7)


def test_after_closing(bundle: Callable[[str], Bundle], steps: list[RawStep]) -> None:
    """A closed policy refuses to act with the same kind of error."""
    with Policy(bundle("calvin_small"), threads=1) as policy:
        policy.reset("open the drawer")
    with pytest.raises(ObservationError):
        policy.act(*changed(steps[0]))


def test_a_network_that_computes_nan(
    bundle: Callable[[str], Bundle], steps: list[RawStep], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Actions that are not finite are never returned; the next observation finds all in order."""
    head = Policy.predict_noise
    with Policy(bundle("calvin_small"), threads=1) as policy:
        policy.reset("open the drawer")
        expected = [policy.act(*changed(step)).actions for step in steps[:3]]
        policy.reset("open the drawer")
        policy.act(*changed(steps[0]))
        with monkeypatch.context() as patch:
            patch.setattr(Policy, "predict_noise", lambda *a: head(*a) * np.float32(np.nan))
            with pytest.raises(ObservationError) as caught:
                policy.act(*changed(steps[1]))
        assert caught.value.found == "the network computed a value that is not finite"
        assert "run `dreamvla verify` on the bundle" in caught.value.cure
        found = policy.act(*changed(steps[2])).actions  # the frame before it was seen
        assert np.abs(found - expected[2]).max() <= 1e-5 * np.abs(expected[2]).max()


def test_other_kinds_of_numbers_are_taken(
    policies: tuple[Policy, Policy], steps: list[RawStep]
) -> None:
    """States as lists or float64, frames that are views, noise as a list: same actions."""
    for policy in policies:
        policy.reset("open the drawer")
    step = steps[0]
    flipped = np.ascontiguousarray(step.primary[::-1])[::-1]
    first = policies[0].act(flipped, step.wrist, step.state.astype(float).tolist(), NOISE.tolist())
    second = policies[1].act(*changed(step))
    np.testing.assert_array_equal(first.actions, second.actions)


def test_noise_is_drawn_when_none_is_given(
    bundle: Callable[[str], Bundle], steps: list[RawStep]
) -> None:
    """From the policy's seed: the same seed gives the same actions, another one others."""
    chunks = []
    for seed in (1, 1, 2):
        with Policy(bundle("calvin_small"), threads=1, seed=seed) as policy:
            policy.reset("open the drawer")
            chunks.append(policy.act(*steps[0][:3]).actions)
    np.testing.assert_array_equal(chunks[0], chunks[1])
    assert np.abs(chunks[0] - chunks[2]).max() > 0.1


def test_spans_tell_where_the_time_goes(
    policies: tuple[Policy, Policy], steps: list[RawStep]
) -> None:
    """Stages of one act in their order on the monotonic clock."""
    policies[0].reset("open the drawer")
    policies[0].act(*changed(steps[0]))
    spans = policies[0].act(*changed(steps[1])).spans
    stages = ["preprocess", "vision", "embed", "step", "sampler"]
    ahead = spans.pop("prefill")
    assert [name for name in spans if name != "prefill_wait"] == stages
    ends = [moment for name in stages for moment in spans[name]]
    assert ends == sorted(ends)
    assert ahead[0] <= ahead[1] <= spans["embed"][0]
