"""Eyes before hands: the vision path learns what is where before anything acts on it.

The released network's eyes were trained on pictures before they saw a robot (MAE, CLIP). Those of
the demo are taught by the scene: which thing covers what (for the patches), what is to be seen at
all (for CLS), and where the landmarks are, one for each of the resampled tokens: so that an
instruction only has to choose to which of them to attend (slots, arXiv 2006.15055). What reads
that out is thrown away afterwards. All runs of a comparison get the same eyes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from dreamvla_edge.model.network import DreamVLA
from dreamvla_edge.runtime.preprocess import Preprocessing
from dreamvla_edge.runtime.recording.frames import ROLES

from .batch import normalised
from .examples import Examples
from .glimpses import Glimpses
from .scene import LANDMARKS, SEMANTICS

CELLS = 4
"""Cells along an edge of a patch in which it is told what is seen."""
_VALUES = 5
_UNIT = torch.tensor([0.02, 0.02, 0.02, 1.0, 1.0])  # errors [m] that weigh as much as a yaw's
_BLOCKS = LANDMARKS - 2
_WEIGHTS = {"things": 1.0, "seen": 0.3, "slots": 0.1, "places": 0.3}


class Eyes(nn.Module):
    """The vision path of a network under its names, with what reads it out.

    Raises ValueError unless it resamples to a token for each landmark.
    """

    def __init__(self, network: DreamVLA) -> None:
        super().__init__()
        config = network.config
        width = config.vision.width
        if config.resampler.latents != LANDMARKS:
            raise ValueError(f"{config.resampler.latents} latents for {LANDMARKS} landmarks")
        self.patch = config.patch
        self.vision_encoder = network.vision_encoder
        self.perceiver_resampler = network.perceiver_resampler
        self.read_things = nn.Linear(width, CELLS**2 * SEMANTICS)
        self.read_seen = nn.Linear(width, LANDMARKS)
        # The same for all landmarks of a camera, so that what it says is said alike by all tokens.
        self.read_slots = nn.ModuleList(nn.Linear(width, LANDMARKS + 1 + _VALUES) for _ in ROLES)

    def losses(self, images: Tensor, things: Tensor, places: Tensor) -> dict[str, Tensor]:
        """Of images (n, 2, 3, h, w), things (n, 2, h, w) and places (n, 2, LANDMARKS, 5).

        Beside them the mean error of places by camera [mm], which has no weight in `loss`.
        """
        cls, patches = self.vision_encoder(images.flatten(0, 1))
        told = self.read_things(patches).float().reshape(*patches.shape[:2], CELLS**2, SEMANTICS)
        found = {"things": -(_cells(things, self.patch) * told.log_softmax(-1)).sum(-1).mean()}
        slots = self.perceiver_resampler(patches).unflatten(0, (-1, len(ROLES)))
        read = torch.stack([to(slots[:, i]) for i, to in enumerate(self.read_slots)], 1).float()
        which, sees, where = torch.split(read, [LANDMARKS, 1, _VALUES], -1)
        number = torch.arange(LANDMARKS).expand(which.shape[:-1])
        found["slots"] = nn.functional.cross_entropy(which.flatten(0, 2), number.flatten())
        seen = ~places[..., 0].isnan()
        all_seen = self.read_seen(cls).float().unflatten(0, (-1, len(ROLES)))
        told_seen = torch.cat([all_seen, sees[..., 0]])
        found["seen"] = nn.functional.binary_cross_entropy_with_logits(
            told_seen, torch.cat([seen, seen]).to(told_seen.dtype)
        )
        wrong = (where - places.nan_to_num() / _UNIT) * seen[..., None]
        wrong[:, :, _BLOCKS:, 3:] = 0  # yaws of what has none to tell
        smooth = nn.functional.smooth_l1_loss(wrong, torch.zeros_like(wrong), reduction="sum")
        found["places"] = smooth / seen.sum().clamp(min=1)
        with torch.no_grad():
            far = (wrong[..., :3] * _UNIT[:3]).norm(dim=-1)
            for i, role in enumerate(ROLES):
                found[f"{role}_mm"] = 1e3 * far[:, i].sum() / seen[:, i].sum().clamp(min=1)
        found["loss"] = torch.stack([_WEIGHTS[n] * found[n] for n in _WEIGHTS]).sum()
        return found


class Sights:
    """A lesson for eyes (see `Run`): so many moments of each source, with both pictures."""

    def __init__(
        self, eyes: Eyes, sources: Sequence[Glimpses], preprocessing: Preprocessing, count: int
    ) -> None:
        self._eyes, self._sources, self._count = eyes, sources, count
        self._preprocessing = preprocessing

    def __call__(self, random: np.random.Generator) -> Mapping[str, Tensor]:
        """Losses of one step of training."""
        drawn = []
        for source in self._sources:
            at = np.sort(random.integers(len(source.images), size=self._count))
            drawn.append([array[at] for array in source])
        images, things, places = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
        return self._eyes.losses(
            normalised(images, self._preprocessing),
            torch.from_numpy(things),
            torch.from_numpy(places).float(),
        )


def seen_by(
    network: DreamVLA, examples: Examples, preprocessing: Preprocessing
) -> NDArray[np.float16]:
    """CLS and resampled tokens of all pictures (n, 2, 1 + R, W), for eyes that learn no more."""
    config = network.config
    found = np.empty(
        (len(examples), len(ROLES), 1 + config.resampler.latents, config.vision.width), np.float16
    )
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for at in range(0, len(examples), _AT_ONCE):
            images = normalised(examples.images[at : at + _AT_ONCE], preprocessing)
            cls, rows = network.see(images.flatten(0, 1))
            both = torch.cat([cls[:, None], rows], 1).float()
            found[at : at + _AT_ONCE] = both.reshape(-1, *found.shape[1:]).numpy()
    return found


_AT_ONCE = 128


def _cells(things: Tensor, patch: int) -> Tensor:
    """Numbers of things (n, 2, h, w) → shares of each in each cell (2 n, N, CELLS², SEMANTICS)."""
    kinds = nn.functional.one_hot(things.flatten(0, 1).long(), SEMANTICS).float()
    rows, edge = things.shape[-1] // patch, patch // CELLS
    cut = kinds.reshape(-1, rows, CELLS, edge, rows, CELLS, edge, SEMANTICS).mean((3, 6))
    return cut.permute(0, 1, 3, 2, 4, 5).reshape(len(cut), rows * rows, CELLS**2, SEMANTICS)
