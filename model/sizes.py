"""The sizes of a network, read off the shapes of its checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .config import (
    DREAM_HEADS,
    HEAD_WIDTH,
    RELEASED_DIT_HEADS,
    DreamHeadConfig,
    ModelConfig,
    ResamplerConfig,
    TowerConfig,
)
from .dream import KEYS, SHARED_PARTS
from .errors import CheckpointError


@dataclass(frozen=True)
class Hints:
    """What the shapes of a checkpoint cannot tell.

    heads, dit_heads, vision_heads, text_heads: attention heads of each tower; None takes the
    released rule, heads 64 wide (DiT-S: four of 96). dream_heads: those of the dream decoders.
    finger_state: the state ends in two finger positions (LIBERO) instead of one gripper command,
    which is two wide as well once it is one-hot. guidance: scale of classifier-free guidance;
    sampler_steps: DDIM steps, a divisor of 100.
    """

    heads: int | None = None
    dit_heads: int | None = None
    vision_heads: int | None = None
    text_heads: int | None = None
    dream_heads: int = 16
    finger_state: bool = False
    guidance: float = 1.5
    sampler_steps: int = 10


RELEASED = Hints()
"""The hints of the released CALVIN checkpoint; the LIBERO ones add `finger_state`."""

POSITIONS = "transformer_backbone_position_embedding"
PATCHES = "vision_encoder.patch_embed.proj.weight"
BACKBONE = "transformer_backbone.h."
VISION = "vision_encoder.blocks."
TEXT_TOWER = "clip_model.transformer.resblocks."
RESAMPLER = "perceiver_resampler.layers."
DENOISER = "action_model.net."

CARRIERS = {
    POSITIONS: 4,
    f"{BACKBONE}0.mlp.c_fc.weight": 2,
    "vision_encoder.pos_embed": 3,
    PATCHES: 4,
    f"{VISION}0.mlp.fc1.weight": 2,
    "perceiver_resampler.latents": 2,
    f"{RESAMPLER}0.0.to_q.weight": 2,
    f"{RESAMPLER}0.1.1.weight": 2,
    "clip_model.token_embedding.weight": 2,
    "clip_model.positional_embedding": 2,
    "clip_model.text_projection": 2,
    f"{TEXT_TOWER}0.mlp.c_fc.weight": 2,
    "action_pred_token": 4,
    "attention_mask": 2,
}
"""Keys that carry a size in every variant, with their number of dimensions."""

DIT_CARRIERS = {f"{DENOISER}blocks.0.mlp.fc1.weight": 2, f"{DENOISER}t_embedder.mlp.0.weight": 2}
MLP_CARRIERS = {"action_decoder.0.weight": 2}

Shapes = Mapping[str, tuple[int, ...]]


def sizes_of(shapes: Shapes, hints: Hints = RELEASED) -> ModelConfig:
    """Configuration of the network whose tensors have `shapes`, without the mask options.

    shapes: released names and their shapes. Only the few tensors that carry a size are looked
    at; `checkpoint.config_of` compares all the others and reads the mask options.
    Raises CheckpointError if such a tensor is missing or has the wrong number of dimensions, or
    if a number of heads does not divide its width.
    """
    dreams = _dream_names(shapes)
    has_denoiser = any(name.startswith(DENOISER) for name in shapes)
    _check_carriers(shapes, dreams, DIT_CARRIERS if has_denoiser else MLP_CARRIERS)

    width, hidden = shapes[f"{BACKBONE}0.mlp.c_fc.weight"]  # stored as (in, out)
    patches, patch = max(1, shapes["vision_encoder.pos_embed"][1] - 1), shapes[PATCHES][-1]
    queries = shapes[KEYS[dreams[0]].queries][2] // 2 if dreams else 0
    times = shapes.get(f"{DENOISER}t_embedder.mlp.0.weight", (0, ModelConfig.frequencies))
    return ModelConfig(
        window=shapes[POSITIONS][1],
        backbone=TowerConfig(
            width, _layers(shapes, BACKBONE), _heads(hints, "heads", width), hidden
        ),
        vision=_tower(shapes, VISION, "fc1", hints, "vision_heads"),
        text=_tower(shapes, TEXT_TOWER, "c_fc", hints, "text_heads"),
        resampler=ResamplerConfig(
            latents=shapes["perceiver_resampler.latents"][0],
            layers=_layers(shapes, RESAMPLER),
            heads=shapes[f"{RESAMPLER}0.0.to_q.weight"][0] // HEAD_WIDTH,
            head_width=HEAD_WIDTH,
            hidden=shapes[f"{RESAMPLER}0.1.1.weight"][0],
        ),
        dreams=tuple(_dream_head(shapes, name, queries, hints) for name in dreams),
        shared_queries=_shared(shapes, dreams, width),
        queries_per_image=queries,
        action_steps=shapes["action_pred_token"][2],
        action_head="dit" if has_denoiser else "mlp",
        denoiser=(
            _tower(shapes, f"{DENOISER}blocks.", "fc1", hints, "dit_heads")
            if has_denoiser
            else None
        ),
        frequencies=times[1],
        image_size=round(patches**0.5) * patch,
        patch=patch,
        text_width=shapes["clip_model.text_projection"][1],
        vocabulary=shapes["clip_model.token_embedding.weight"][0],
        context=shapes["clip_model.positional_embedding"][0],
        finger_state=hints.finger_state,
        guidance=hints.guidance,
        sampler_steps=hints.sampler_steps,
    )


def _dream_names(shapes: Shapes) -> tuple[str, ...]:
    # Heads with shared queries own a decoder only. A head that lost one of the two keys still
    # counts, so that the loss is reported as a missing key.
    return tuple(
        name
        for name in DREAM_HEADS
        if KEYS[name].queries in shapes or f"{KEYS[name].linear}.weight" in shapes
    )


def _check_carriers(shapes: Shapes, dreams: tuple[str, ...], head: Mapping[str, int]) -> None:
    wanted = {**CARRIERS, **head, **{KEYS[name].queries: 4 for name in dreams[:1]}}
    for keys in (KEYS[name] for name in dreams):
        wanted |= {f"{keys.linear}.weight": 2, keys.positions: 3, f"{keys.projector}.weight": 2}
    lost = [f"no {name}" for name in wanted if name not in shapes]
    odd = [
        f"{name} of shape {shapes[name]} instead of {wanted[name]} dimensions"
        for name in wanted
        if name in shapes and (len(shapes[name]) != wanted[name] or 0 in shapes[name])
    ]
    if lost or odd:
        modules = sorted({name.split(".")[0] for name in shapes})
        raise CheckpointError(
            f"{', '.join(lost + odd)} (the file holds {', '.join(modules)})",
            "every tensor from which a size of the network is read",
            "take a DreamVLA checkpoint with the diffusion transformer or the MLP as action head; "
            "flow-matching heads and DINO-SigLIP vision are not supported",
        )


def _layers(shapes: Shapes, prefix: str) -> int:
    """Number of blocks under `prefix`; none or a gap shows later as missing keys."""
    blocks = {name[len(prefix) :].split(".")[0] for name in shapes if name.startswith(prefix)}
    return max(1, len(blocks))


def _heads(hints: Hints, hint: str, width: int) -> int:
    given: int | None = getattr(hints, hint)
    rule = RELEASED_DIT_HEADS if hint == "dit_heads" else {}
    heads = rule.get(width, width // HEAD_WIDTH) if given is None else given
    if heads < 1 or width % heads:
        raise CheckpointError(
            f"a width of {width} with {heads} attention heads"
            + (" by the released rule" if given is None else ""),
            "a number of heads that divides the width",
            f"give the hint `{hint}` with the number of heads in training",
        )
    return heads


def _tower(shapes: Shapes, blocks: str, linear: str, hints: Hints, hint: str) -> TowerConfig:
    hidden, width = shapes[f"{blocks}0.mlp.{linear}.weight"]
    return TowerConfig(width, _layers(shapes, blocks), _heads(hints, hint, width), hidden)


def _shared(shapes: Shapes, dreams: tuple[str, ...], width: int) -> bool:
    """Heads that share their queries each read a quarter of the width."""
    if not dreams:
        return False
    return shapes[f"{KEYS[dreams[0]].projector}.weight"][1] == width // SHARED_PARTS


def _dream_head(shapes: Shapes, name: str, queries: int, hints: Hints) -> DreamHeadConfig:
    keys = KEYS[name]
    _, rows, width = shapes[keys.positions]
    return DreamHeadConfig(
        name,
        tokens=max(1, rows - queries),  # too few rows show later as a wrong shape
        channels=shapes[f"{keys.linear}.weight"][0],
        layers=_layers(shapes, f"{keys.blocks}."),
        heads=_heads(hints, "dream_heads", width),
    )
