"""DreamVLA under its released parameter names."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .backbone import Backbone
from .config import ModelConfig
from .denoiser import ARM_VALUES, ActionModel
from .dream import KEYS, add_dream_head, dream
from .mask import additive, window_reads
from .text import TextEncoder
from .vision import Resampler, VisionEncoder

CAMERAS = ("primary", "wrist")


class DreamVLA(nn.Module):
    """The network of arXiv 2507.04447, batch-free: every tensor holds one stream of steps.

    `load_state_dict` takes a released checkpoint without the keys that inference does not need
    (see `checkpoint.py`).
    """

    attention_mask: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width, vision = config.backbone.width, config.vision.width
        self.clip_model = TextEncoder(config)
        self.text_projector = nn.Linear(config.text_width, width)
        self.arm_state_encoder = nn.Linear(ARM_VALUES, width)
        self.gripper_state_encoder = nn.Linear(2, width)
        self.state_projector = nn.Linear(2 * width, width)
        self.vision_encoder = VisionEncoder(config)
        self.perceiver_resampler = Resampler(vision, config.resampler)
        for camera in CAMERAS:
            self.add_module(f"image_{camera}_projector", nn.Linear(vision, width))
            self.add_module(f"cls_token_{camera}_projector", nn.Linear(vision, width))
        self.transformer_backbone_position_embedding = nn.Parameter(
            torch.zeros(1, config.window, 1, width)
        )
        self.embedding_layer_norm = nn.LayerNorm(width)
        self._query_names = _query_names(config)
        for name in self._query_names:
            rows = 2 * config.queries_per_image
            self.register_parameter(name, nn.Parameter(torch.zeros(1, 1, rows, width)))
        self.action_pred_token = nn.Parameter(torch.zeros(1, 1, config.action_steps, width))
        self.transformer_backbone = Backbone(config.backbone)
        for head in config.dreams:
            add_dream_head(self, config, head)
        if config.action_head == "dit":
            self.action_model = ActionModel(config)
        else:
            self._add_mlp_head(width, width // 2)
        self.register_buffer("attention_mask", additive(window_reads(config)))

    def _add_mlp_head(self, width: int, hidden: int) -> None:
        self.action_decoder = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()
        )
        self.arm_action_decoder = nn.Sequential(nn.Linear(hidden, ARM_VALUES), nn.Tanh())
        self.gripper_action_decoder = nn.Sequential(nn.Linear(hidden, 1), nn.Sigmoid())

    def text(self, tokens: Tensor) -> Tensor:
        """Tokens (n, 77) → embedding (n, D)."""
        out: Tensor = self.text_projector(self.clip_model(tokens))
        return out

    def see(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised images (n, 3, h, w) → CLS (n, W) and resampled tokens (n, R, W)."""
        cls, patches = self.vision_encoder(images)
        return cls, self.perceiver_resampler(patches)

    def project(self, cls: Tensor, resampled: Tensor, camera: str) -> tuple[Tensor, Tensor]:
        """Outputs of `see` for one camera → backbone width: (n, 1, D) and (n, R, D)."""
        return (
            self.get_submodule(f"cls_token_{camera}_projector")(cls)[:, None],
            self.get_submodule(f"image_{camera}_projector")(resampled),
        )

    def state(self, states: Tensor) -> Tensor:
        """Raw states (n, 7 or 8) → embedding (n, D).

        Seven values end in the last gripper command, which is encoded as one-hot of "≥ 1";
        eight end in two finger positions [m].
        """
        arm, gripper = states[:, :ARM_VALUES], states[:, ARM_VALUES:]
        if not self.config.finger_state:
            upper = (gripper >= 1).to(states.dtype)
            gripper = torch.cat([1 - upper, upper], -1)
        both = [self.arm_state_encoder(arm), self.gripper_state_encoder(gripper)]
        out: Tensor = self.state_projector(torch.cat(both, -1))
        return out

    def place(self, rows: Tensor, slots: Tensor) -> Tensor:
        """Add each step's position and normalise: rows (n, rows, D), slots (n) → (n, rows, D)."""
        position = self.transformer_backbone_position_embedding[0, slots]  # (n, 1, D)
        out: Tensor = self.embedding_layer_norm(rows + position)
        return out

    def context(self, text: Tensor, states: Tensor, vision: Tensor, slots: Tensor) -> Tensor:
        """Context rows of n steps: text (1, D), states (n, ·), vision (n, A-2, D) → (n, A, D)."""
        steps = states.shape[0]
        rows = [text.expand(steps, 1, -1), self.state(states)[:, None], vision]
        return self.place(torch.cat(rows, 1), slots)

    def queries(self, slots: Tensor) -> Tensor:
        """Dream and action queries of n steps: slots (n) → (n, Q+P, D)."""
        tokens = [self.get_parameter(name)[0] for name in self._query_names]
        rows = torch.cat([*tokens, self.action_pred_token[0]], 1)
        return self.place(rows.expand(slots.shape[0], -1, -1), slots)

    def mlp_action(self, features: Tensor) -> Tensor:
        """MLP head: action features (…, P, D) → actions (…, P, 7)."""
        hidden = self.action_decoder(features)
        return torch.cat([self.arm_action_decoder(hidden), self.gripper_action_decoder(hidden)], -1)

    def dream(self, name: str, features: Tensor) -> Tensor:
        """Dream features (…, Q, D) → prediction of one head (…, 2 cameras, N, channels)."""
        return dream(self, self.config, name, features)

    def window(self, text: Tensor, states: Tensor, vision: Tensor) -> Tensor:
        """The released forward pass over a full window.

        text (1 or S, D), states (S, ·), vision (S, A-2, D) → features (S, A+Q+P, D) after the
        final norm, all tokens of all slots.
        """
        slots = torch.arange(self.config.window)
        text = text if len(text) == 1 else text[:, None]
        rows = torch.cat([self.context(text, states, vision, slots), self.queries(slots)], 1)
        features: Tensor = self.transformer_backbone(rows.flatten(0, 1)[None], self.attention_mask)[
            0
        ]
        return features.reshape(self.config.window, -1, features.shape[-1])


def _query_names(config: ModelConfig) -> tuple[str, ...]:
    """Released names of the dream queries in token order."""
    heads = config.dreams[:1] if config.shared_queries else config.dreams
    return tuple(KEYS[head.name].queries for head in heads)
