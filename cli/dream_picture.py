"""Dreams of one episode, and pictures of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dreamvla_edge.runtime.errors import BundleError, RecordingError
from dreamvla_edge.runtime.policy import Policy
from dreamvla_edge.runtime.preprocess import Preprocessing, square
from dreamvla_edge.runtime.recording.demonstration import Demonstration
from dreamvla_edge.runtime.recording.frames import ROLES
from dreamvla_edge.train.examples import AHEAD
from dreamvla_edge.train.moving import moving

Pixels = NDArray[np.uint8]
Values = NDArray[np.float32]
_EDGE, _GAP = 192, 4
_STEPS = 5
"""Steps in the picture."""


@dataclass(frozen=True, eq=False)
class Dreams:
    """What was seen and expected at n steps.

    now, came (n, 2, s, s, 3): frames as the network sees them, at a step and AHEAD steps later;
    moves (n, 2, N): patches that move in between; heads: by name (n, 2, N, C).
    """

    now: Pixels
    came: Pixels
    moves: NDArray[np.bool_]
    heads: dict[str, Values]
    preprocessing: Preprocessing

    @classmethod
    def of(cls, policy: Policy, shown: Demonstration) -> Dreams:
        """Raises BundleError without an image head, RecordingError if the episode is too short."""
        manifest = policy.bundle.manifest
        if len(shown) <= AHEAD:
            raise RecordingError(
                f"an episode of {len(shown)} steps",
                f"at least {AHEAD + 1}: dreams are of {AHEAD} steps later",
                "take a longer one",
            )
        pre, cameras = manifest.preprocessing, manifest.specification.cameras
        frames = [[shown.frame(role, i) for role in ROLES] for i in range(len(shown))]
        seen = np.stack(
            [[square(f, c, pre) for f, c in zip(pair, cameras, strict=True)] for pair in frames]
        )
        policy.reset(shown.task)
        dreams = []
        for (primary, wrist), state in zip(frames[:-AHEAD], shown.states, strict=False):
            policy.observe(primary, wrist, state)
            dreams.append(policy.dream())
        heads = {name: np.stack([dream[name] for dream in dreams]) for name in dreams[0]}
        if "image" not in heads:
            raise BundleError(
                f"a bundle that dreams of {', '.join(heads) or 'nothing'}",
                "one with the image head",
                "export a checkpoint that was trained with it",
            )
        patch = math.isqrt(heads["image"].shape[-1] // 3)
        now, came = seen[:-AHEAD], seen[AHEAD:]
        moves = np.array(
            [
                [
                    moving(n[c], f[c], patch, dilate=role == "primary")
                    for c, role in enumerate(ROLES)
                ]
                for n, f in zip(now, came, strict=True)
            ]
        )
        return cls(now, came, moves, heads, pre)

    def image_error(self) -> tuple[float, float]:
        """Mean square in moving patches of the expected pixels, and of those that just stay."""
        now, came = (normalised(cut(frames, self._patch))[0] for frames in (self.now, self.came))
        wrong = ((self.heads["image"] - came) ** 2).mean(-1)[self.moves]
        still = ((now - came) ** 2).mean(-1)[self.moves]
        return float(wrong.mean()), float(still.mean())

    def expected(self) -> Pixels:
        """Frames (n, 2, s, s, 3): as now, but where the picture moves as the network expects."""
        _, mean, deviation = normalised(cut(self.came, self._patch))
        patches = self.heads["image"] * deviation + mean
        values = np.where(self.moves[..., None], patches, cut(self.now, self._patch))
        return joined(values.clip(0, 255), self.now.shape[2])

    @property
    def _patch(self) -> int:
        return math.isqrt(self.heads["image"].shape[-1] // 3)


def cut(frames: Pixels, patch: int) -> Values:
    """Frames (…, s, s, 3) as patches (…, N, p·p·3), channels last."""
    *lead, size, _, _ = frames.shape
    rows = size // patch
    parts = frames.reshape(*lead, rows, patch, rows, patch, 3).swapaxes(-4, -3)
    patches: Values = parts.reshape(*lead, rows * rows, -1).astype(np.float32)
    return patches


def joined(patches: Values, size: int) -> Pixels:
    """Undoes `cut`."""
    *lead, count, values = patches.shape
    rows, patch = math.isqrt(count), math.isqrt(values // 3)
    parts = patches.reshape(*lead, rows, rows, patch, patch, 3).swapaxes(-4, -3)
    frames: Pixels = parts.reshape(*lead, size, size, 3).astype(np.uint8)
    return frames


def normalised(patches: Values) -> tuple[Values, Values, Values]:
    """Patches of mean 0 and deviation 1 as in training, and both."""
    mean = patches.mean(-1, keepdims=True)
    deviation = np.sqrt(patches.var(-1, keepdims=True, ddof=1) + 1e-6)
    return (patches - mean) / deviation, mean, deviation


def drawn(dreams: Dreams) -> list[Pixels]:
    """A picture for every step: columns now, expected, came, and one for each other head."""
    columns: list[Pixels] = [dreams.now, dreams.expected(), dreams.came]
    for name, values in dreams.heads.items():
        if name == "depth":
            columns.append(_depth(values))
        elif name in ("sam", "dino"):
            columns.append(_features(values))
    return [
        np.vstack(
            [np.hstack([_sized(column[i, camera]) for column in columns]) for camera in (0, 1)]
        )
        for i in range(len(dreams.now))
    ]


def some_steps(pictures: Sequence[Pixels]) -> Image.Image:
    """A few steps of an episode below each other."""
    at = np.linspace(0, len(pictures) - 1, min(_STEPS, len(pictures))).round().astype(int)
    gap = np.full((3 * _GAP, pictures[0].shape[1], 3), 255, np.uint8)
    rows = [part for i in at for part in (pictures[i], gap)]
    return Image.fromarray(np.vstack(rows[:-1]))


def _depth(values: Values) -> Pixels:
    """Grey levels (n, 2, s, s, 3) of depths (n, 2, N, p²), near is bright."""
    *lead, count, area = values.shape
    rows, patch = math.isqrt(count), math.isqrt(area)
    parts = values.reshape(*lead, rows, rows, patch, patch).swapaxes(-3, -2)
    metres = parts.reshape(*lead, rows * patch, rows * patch)
    near, far = np.percentile(metres, (1, 99))
    grey = 255 * (1 - (metres - near) / max(float(far - near), 1e-6)).clip(0, 1)
    return np.repeat(grey[..., None], 3, -1).astype(np.uint8)


def _features(values: Values) -> Pixels:
    """Colours (n, 2, √N, √N, 3) of features (n, 2, N, C): their three main directions."""
    flat = values.reshape(-1, values.shape[-1]).astype(np.float64)
    flat /= np.linalg.norm(flat, axis=-1, keepdims=True) + 1e-9
    flat -= flat.mean(0)
    _, _, directions = np.linalg.svd(flat.T @ flat)
    main = flat @ directions[:3].T
    low, high = np.percentile(main, (2, 98), axis=0)
    colours = 255 * ((main - low) / np.maximum(high - low, 1e-9)).clip(0, 1)
    rows = math.isqrt(values.shape[2])
    picture: Pixels = colours.reshape(*values.shape[:2], rows, rows, -1).astype(np.uint8)
    return picture


def _sized(picture: Pixels) -> Pixels:
    """With a border, all of one size."""
    scaled = Image.fromarray(picture).resize((_EDGE, _EDGE), Image.Resampling.NEAREST)
    return np.pad(np.asarray(scaled), ((0, _GAP), (0, _GAP), (0, 0)), constant_values=255)
