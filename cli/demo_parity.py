"""Whether a bundle computes what another one does, and what the released loop does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.demo import DATA_SET, WEIGHTS
from dreamvla_edge.export.data_set import load_data_set
from dreamvla_edge.runtime.bundle import TOKENIZER_NAME, Bundle
from dreamvla_edge.runtime.cameras import open_camera
from dreamvla_edge.runtime.cameras.camera_pair import Sight
from dreamvla_edge.runtime.cameras.source import CameraSource
from dreamvla_edge.runtime.pilot.pilot import Decision
from dreamvla_edge.runtime.policy import ACTION_VALUES, Policy
from dreamvla_edge.runtime.preprocess import preprocess
from dreamvla_edge.runtime.tokenizer import Tokenizer
from dreamvla_edge.runtime.verify import relative_error

_INSTRUCTION = "open the drawer"


def difference(one: Bundle, other: Path) -> float:
    """Largest relative difference of two bundles' chunks, over a window and two steps more."""
    manifest = one.manifest
    random = np.random.default_rng(0)
    eyes = [
        open_camera(CameraSource("simulated"), camera) for camera in manifest.specification.cameras
    ]
    worst = 0.0
    with Policy(one) as first, Policy(other) as second:
        for policy in (first, second):
            policy.reset(_INSTRUCTION)
        for _ in range(manifest.network.window + 2):
            frames = [eye.read().image for eye in eyes]
            state = random.normal(0, 0.3, manifest.specification.state.size).astype(np.float32)
            noise = random.standard_normal((manifest.network.action_steps, ACTION_VALUES))
            found = [
                policy.act(frames[0], frames[1], state, noise.astype(np.float32)).actions
                for policy in (first, second)
            ]
            worst = max(worst, relative_error(*found))
    for eye in eyes:
        eye.close()
    return worst


def released_parity(
    bundle: Bundle, decisions: Sequence[Decision], instruction: str
) -> dict[int, float]:
    """Largest relative error of a run's chunks to the released loop in PyTorch, by step.

    With the shipped weights. The released loop computes as much in one step as the policy in
    twenty, so it predicts only at some steps: the first, one while the window fills, one when it
    has slid, and the last.
    """
    import torch

    from dreamvla_edge.export.export import hints
    from dreamvla_edge.model.checkpoint import load_network
    from dreamvla_edge.model.released import ReleasedLoop

    network = load_network(WEIGHTS, hints(load_data_set(str(DATA_SET))))
    released = ReleasedLoop(network)
    manifest = bundle.manifest
    tokens = torch.from_numpy(Tokenizer(bundle.file(TOKENIZER_NAME))(instruction)[0]).long()
    window, last = manifest.network.window, len(decisions) - 1
    errors = {}

    def seen(
        sight: Sight, state: NDArray[np.float32]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        pictures = (sight.primary.image, sight.wrist.image)
        frames = zip(pictures, manifest.specification.cameras, strict=True)
        images = np.stack([preprocess(f, camera, manifest.preprocessing) for f, camera in frames])
        return tokens, torch.from_numpy(images), torch.from_numpy(state)

    for number, decision in enumerate(decisions):
        step = decision.step
        if step.first:
            released = ReleasedLoop(network)
        for sight, shown in zip(decision.sights[:-1], step.before, strict=True):
            released.observe(*seen(sight, shown.state))
        sight = decision.sights[-1]
        if number in (0, window // 2, window, last):
            noise = torch.from_numpy(step.noise).expand(window, -1, -1)
            golden = released.act(*seen(sight, step.state), noise).numpy()
            errors[number] = relative_error(step.chunk, golden)
        else:
            released.observe(*seen(sight, step.state))
    return errors
