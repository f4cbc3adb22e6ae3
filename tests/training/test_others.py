"""What else could have been asked for in a recording's frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.arms.kinematics import chain_of, forward
from dreamvla_edge.runtime.recording.recording import open_recording
from dreamvla_edge.sim.demo import ARM, IMAGE
from dreamvla_edge.sim.expert import STEP_RAD
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.scene.views import Views
from dreamvla_edge.sim.tasks import FAMILIES, draw
from dreamvla_edge.sim.teach import MOTION, teach
from dreamvla_edge.train import others as module
from dreamvla_edge.train.others import ASKED, Others, others

NAME, SEED = "touch", 3


@pytest.fixture(scope="module")
def scene() -> Scene:
    """An SO-101 on a table."""
    return Scene(load_description(ARM))


@pytest.fixture(scope="module")
def folder(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of the expert."""
    place = tmp_path_factory.mktemp("taught") / f"{NAME}-{SEED}"
    with Views(scene, IMAGE) as views:
        assert teach(scene, views, FAMILIES[NAME], SEED, place)
    return place


@pytest.fixture(scope="module")
def found(scene: Scene, folder: Path) -> Others:
    """For all its frames."""
    return others(scene, folder)


def test_they_are_other_tasks_of_the_same_layout(found: Others) -> None:
    """In training's words, about blocks that are there, of several families."""
    task = draw(FAMILIES[NAME], SEED, 5)
    assert len({*found.instructions}) == ASKED and task.instruction not in found.instructions
    colours = {block.colour for block in task.layout.blocks}
    for text in found.instructions:
        assert colours & {*text.split()} or "drawer" in text
    asked = module._asked(task, np.random.default_rng(0))
    assert len({(family.name, about) for family, about in asked}) == ASKED
    assert (task.family, task.about) not in asked
    assert len({family.name for family, _ in asked}) >= 3


def test_the_same_whoever_asks(scene: Scene, folder: Path, found: Others) -> None:
    """A seed's answers are its own."""
    again = others(scene, folder)
    assert again.instructions == found.instructions
    np.testing.assert_array_equal(again.actions, found.actions)


def test_asked_for_its_own_task_it_says_what_was_recorded(
    scene: Scene, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kept action of every step, since it needs neither noise nor memory."""
    task = draw(FAMILIES[NAME], SEED, 5)
    monkeypatch.setattr(module, "_asked", lambda task, random: [(task.family, task.about)])
    told = others(scene, folder).actions[:, 0]
    kept = np.stack([step.action for step in open_recording(folder).steps])
    assert task.family.name == NAME
    np.testing.assert_allclose(told[:, :5], kept[:, :5], atol=1e-5)
    np.testing.assert_array_equal(told[:, 6], kept[:, 6])


def test_it_leads_there(scene: Scene, folder: Path, found: Others) -> None:
    """From any frame the first step brings the tool nearer to what another task wants, or up."""
    task = draw(FAMILIES[NAME], SEED, 5)
    chain = chain_of(scene.description)
    asked = module._asked(task, np.random.default_rng((SEED, module.zlib.crc32(NAME.encode()))))
    scene.reset(task.layout)
    nearer = []
    for frame, qpos in enumerate(np.load(folder / MOTION)["qpos"]):
        scene.show(qpos)
        before = scene.tool.position
        for number, (family, about) in enumerate(asked):
            wanted = family.begin(about, scene).wanted(scene).tool.position
            delta = found.actions[frame, number, :5] * STEP_RAD
            after = forward(chain, scene.joints + delta).position
            far = np.linalg.norm(wanted - before)
            if far > 0.02:
                nearer.append(np.linalg.norm(wanted - after) < far)
    # Not always: a step that is cut to what a joint may turn does not go straight.
    assert len(nearer) > 30 and np.mean(nearer) > 0.9
