"""Random checkpoints: what they hold, and that the same seed gives the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dreamvla_edge.model import synthetic
from dreamvla_edge.model.checkpoint import config_of, load_network
from dreamvla_edge.model.config import ModelConfig
from dreamvla_edge.model.sizes import Hints
from dreamvla_edge.model.synthetic import SIZES, random_state, write_checkpoint

State = dict[str, Tensor]


@pytest.mark.parametrize("name", SIZES)
def test_sizes_need_no_head_counts(name: str, hollow: Callable[[ModelConfig], State]) -> None:
    """The released hints open every size; only the fingers of LIBERO have to be told."""
    config = SIZES[name]
    assert config_of(hollow(config), Hints(finger_state=config.finger_state)) == config


def test_written_as_released(tiny: ModelConfig, tiny_state: State, tmp_path: Path) -> None:
    """A dict with `model_state_dict` and `module.`; loading gives the weights back."""
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, tiny)
    content = torch.load(path, weights_only=True)
    assert list(content) == ["model_state_dict"]
    assert content["model_state_dict"].keys() == {f"module.{name}" for name in tiny_state}
    loaded = load_network(path).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tiny_state.items())
    assert list(tmp_path.iterdir()) == [path]


def test_a_tensor_depends_on_seed_and_name_alone(tiny: ModelConfig, tiny_state: State) -> None:
    """Another configuration shares the tensors of the same name and shape."""
    again = random_state(tiny)
    assert all(torch.equal(again[name], tensor) for name, tensor in tiny_state.items())
    other = random_state(replace(tiny, dreams=(), queries_per_image=0))
    assert all(
        torch.equal(tensor, tiny_state[name])
        for name, tensor in other.items()
        if name != "attention_mask"
    )
    assert not torch.equal(
        random_state(tiny, 1)["text_projector.bias"], again["text_projector.bias"]
    )
    both = [again[f"image_{camera}_projector.weight"] for camera in ("primary", "wrist")]
    assert not torch.equal(*both)


def test_a_known_number(tiny_state: State) -> None:
    """Other machines and versions draw the same."""
    found = tiny_state["action_pred_token"].flatten()[:2].tolist()
    assert found == pytest.approx([0.26567042, -0.47791031], rel=1e-6)


@pytest.mark.parametrize(
    ("name", "mean", "deviation"),
    [
        ("vision_encoder.norm.weight", 1, 0.1),
        ("vision_encoder.blocks.0.mlp.fc1.bias", 0, 0.02),
        ("clip_model.transformer.resblocks.0.attn.in_proj_bias", 0, 0.02),
        ("clip_model.transformer.resblocks.0.attn.in_proj_weight", 0, 64**-0.5),
        ("vision_encoder.patch_embed.proj.weight", 0, (3 * 16 * 16) ** -0.5),
        ("vision_encoder.blocks.0.mlp.fc1.weight", 0, 64**-0.5),
        ("transformer_backbone.h.0.mlp.c_fc.weight", 0, 128**-0.5),
        ("transformer_backbone.h.0.mlp.c_proj.weight", 0, 192**-0.5),
        ("clip_model.text_projection", 0, 64**-0.5),
        ("vision_encoder.pos_embed", 0, 0.3),
    ],
)
def test_scale(name: str, mean: float, deviation: float, tiny_state: State) -> None:
    """Gains near 1, biases small, matrices by the number of inputs, whichever way stored."""
    values = tiny_state[name]
    spread = deviation / values.numel() ** 0.5
    assert float(values.mean()) == pytest.approx(mean, abs=5 * spread)
    assert float(values.std()) == pytest.approx(deviation, abs=5 * spread)


def test_a_failed_write_leaves_the_old_file(
    tiny: ModelConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted at any moment: the file that was there stays, nothing else does."""
    path = tmp_path / "checkpoint.pt"
    path.write_text("before")

    def interrupted(content: object, partial: Path) -> None:
        partial.write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(synthetic.torch, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(path, tiny)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    write_checkpoint(path, tiny)
    assert load_network(path)
