"""What the expert shows, as recordings that all readers of recordings take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dreamvla_edge.runtime import motion
from dreamvla_edge.runtime.arms.kinematics import chain_of, forward
from dreamvla_edge.runtime.recording.calvin import read_calvin, write_calvin
from dreamvla_edge.runtime.recording.demonstration import demonstrations
from dreamvla_edge.runtime.recording.recording import Recording, open_recording
from dreamvla_edge.sim import teach
from dreamvla_edge.sim.demo import IMAGE, SPECIFICATION
from dreamvla_edge.sim.expert import STEP_RAD
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.scene.views import Views
from dreamvla_edge.sim.tasks import FAMILIES, draw

SEED = 3


@pytest.fixture(scope="module")
def folder(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A try at lifting."""
    place = tmp_path_factory.mktemp("taught") / "lift-3"
    with Views(scene, IMAGE) as views:
        assert teach.teach(scene, views, FAMILIES["lift"], SEED, place)
    return place


@pytest.fixture(scope="module")
def recording(folder: Path) -> Recording:
    """That one, read."""
    return open_recording(folder)


def test_it_is_complete(recording: Recording) -> None:
    """Every step with its frames; the instruction is that of the seed."""
    (shown,) = demonstrations(recording)
    task = draw(FAMILIES["lift"], SEED, 5)
    assert recording.outcome == "success" and shown.task == task.instruction
    assert len(shown) == len(recording.steps) > 15 and shown.repeated == 0
    assert shown.frame("primary", 0).shape == (IMAGE, IMAGE, 3)
    assert (shown.frame("primary", 0) != shown.frame("primary", len(shown) - 1)).any()
    assert len(recording.reports) == len(shown)


def test_actions_are_small_and_states_follow_them(recording: Recording, scene: Scene) -> None:
    """In the network's numbers; what a state says is where the servos were."""
    (shown,) = demonstrations(recording)
    assert np.abs(shown.actions[:, :5]).max() <= 1 + 1e-6
    assert (shown.actions[:, 5] == 0).all() and set(shown.actions[:, 6]) == {-1.0, 1.0}
    # The command in a state is the one that was executed before it.
    np.testing.assert_array_equal(shown.states[1:, 6], shown.actions[:-1, 6])
    qpos = np.load(recording.folder / teach.MOTION)["qpos"]
    at = [scene.model.joint(joint.name).qposadr[0] for joint in scene.description.joints]
    assert np.abs(shown.states[:, :5] - qpos[:, at]).max() < 3 * 2 * np.pi / 4096


def test_the_numbers_mean_what_the_specification_says(recording: Recording, scene: Scene) -> None:
    """An action through the product's own motion is the expert's step."""
    chain = chain_of(scene.description)
    step = recording.steps[5]
    start = np.zeros(5)
    anchor = motion.Goal(forward(chain, start), start, 1.0)
    goal = motion.advance(SPECIFICATION.action, chain, step.action, anchor)
    np.testing.assert_allclose(goal.joints, step.action[:5] * STEP_RAD, atol=1e-6)


def test_frames_can_be_drawn_again(recording: Recording, scene: Scene) -> None:
    """From the kept motion, byte for byte: so depth and motion can be drawn as well."""
    (shown,) = demonstrations(recording)
    qpos = np.load(recording.folder / teach.MOTION)["qpos"]
    scene.reset(draw(FAMILIES["lift"], SEED, 5).layout)
    with Views(scene, IMAGE) as views:
        for index in (0, len(shown) // 2, len(shown) - 1):
            scene.show(qpos[index])
            np.testing.assert_array_equal(views.image("primary"), shown.frame("primary", index))
            np.testing.assert_array_equal(views.image("wrist"), shown.frame("wrist", index))


def test_it_can_be_exported(recording: Recording, tmp_path: Path) -> None:
    """As the layout of CALVIN, states and actions bit for bit."""
    output = tmp_path / "calvin"
    output.mkdir()
    assert write_calvin([recording], output) == 1
    (read,) = read_calvin(output)
    (shown,) = demonstrations(recording)
    assert read.task == shown.task
    np.testing.assert_array_equal(read.states, shown.states)
    np.testing.assert_array_equal(read.actions, shown.actions)


def test_the_program_goes_on_where_it_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two seeds, of which one is there; nothing is recorded for evaluation seeds."""
    arguments = [str(tmp_path), "--families", "touch", "--seeds"]
    assert teach.main([*arguments, "0:1"]) == 0
    first = (tmp_path / "touch-0" / "steps.bin").stat().st_mtime_ns
    assert teach.main([*arguments, "0:2"]) == 0
    assert (tmp_path / "touch-0" / "steps.bin").stat().st_mtime_ns == first
    assert open_recording(tmp_path / "touch-1").outcome == "success"
    assert capsys.readouterr().out.count("done") == 2
    with pytest.raises(SystemExit):
        teach.main([*arguments, "499999:500001"])


class Stubborn:
    """Turns its first joint and nothing else, the gripper open."""

    def begin(self, instruction: str, seed: int) -> None:
        """Listens to nothing."""

    def act(self, primary: object, wrist: object, state: object) -> np.ndarray:
        """Half a step."""
        return np.array([0.5, 0, 0, 0, 0, 0, 1], np.float32)


def test_a_pupil_moves_and_the_expert_says_what_was_right(scene: Scene, tmp_path: Path) -> None:
    """States follow the one, actions the other."""
    with Views(scene, IMAGE) as views:
        assert not teach.teach(scene, views, FAMILIES["lift"], SEED, tmp_path / "a", Stubborn())
    (shown,) = demonstrations(open_recording(tmp_path / "a"))
    turned = np.diff(shown.states[2:12, 0])
    np.testing.assert_allclose(turned, 0.5 * STEP_RAD, atol=0.01)
    assert np.abs(np.diff(shown.states[:12, 1:5], axis=0)).max() < 0.02
    assert (shown.states[1:, 6] == 1).all()
    # It stands ever further from the block, so the way back is to the other side.
    assert (shown.actions[20:60, 0] < 0).all()
