"""A run of the demo, replayed with the released loop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dreamvla_edge.cli.demo import PARITY
from dreamvla_edge.cli.demo_parity import released_parity
from dreamvla_edge.demo import BUNDLE
from dreamvla_edge.runtime.bundle import open_bundle
from dreamvla_edge.runtime.cameras.camera import Frame
from dreamvla_edge.runtime.cameras.camera_pair import Sight
from dreamvla_edge.runtime.pilot.pilot import Decision
from dreamvla_edge.runtime.policy import ACTION_VALUES, Policy
from dreamvla_edge.runtime.recording.step import Observation, Step

INSTRUCTION = "open the drawer"
SHOWN = (0, 2, 0, 1, 0)
"""How many steps before each decision the policy only saw: it was too slow for them."""


@pytest.fixture(scope="module")
def decisions() -> list[Decision]:
    """Of a policy that missed steps, and began anew on the way."""
    bundle = open_bundle(BUNDLE)
    specification, network = bundle.manifest.specification, bundle.manifest.network
    random = np.random.default_rng(7)
    made = []

    def seen() -> tuple[Sight, np.ndarray]:
        frames = (
            Frame(random.integers(0, 256, (camera.height, camera.width, 3), np.uint8), 0.0)
            for camera in specification.cameras
        )
        return Sight(0.0, *frames), random.normal(0, 0.3, specification.state.size).astype("f4")

    with Policy(bundle, threads=1) as policy:
        for number, shown in enumerate(SHOWN * 2):
            first = number % len(SHOWN) == 0
            if first:
                policy.reset(INSTRUCTION)
            missed = [seen() for _ in range(shown)]
            for sight, state in missed:
                policy.observe(sight.primary.image, sight.wrist.image, state)
            sight, state = seen()
            noise = random.standard_normal((network.action_steps, ACTION_VALUES)).astype("f4")
            images = (sight.primary.image, sight.wrist.image)
            chunk = policy.act(*images, state, noise).actions
            before = tuple(Observation(0.0, 0.0, state) for _, state in missed)
            step = Step(
                *(0.0, 0.0, 0.0, INSTRUCTION, first, state, chunk, chunk[0]),
                *(np.zeros(0, np.int64), np.zeros((0, 5)), np.zeros(0), {}),
                noise=noise,
                before=before,
            )
            made.append(Decision((*(sight for sight, _ in missed), sight), step, number))
    return made


def test_steps_that_were_only_seen(decisions: list[Decision]) -> None:
    """They are in the window as well: the run is what the released loop does."""
    errors = released_parity(open_bundle(BUNDLE), decisions, INSTRUCTION)
    assert set(errors) == {0, 2, 4, 9}
    assert all(0 < error <= PARITY for error in errors.values())


def test_a_step_that_was_not_seen(decisions: list[Decision]) -> None:
    """Without one of them it is another run, and that is found."""
    missed = [
        replace(d, sights=d.sights[1:], step=replace(d.step, before=d.step.before[1:]))
        if d.step.before
        else d
        for d in decisions
    ]
    errors = released_parity(open_bundle(BUNDLE), missed, INSTRUCTION)
    assert max(errors.values()) > 100 * PARITY
