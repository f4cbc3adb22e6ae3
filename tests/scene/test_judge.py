"""A judge of a scene elsewhere says what the episode itself says."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from dreamvla_edge.runtime.errors import ObservationError
from dreamvla_edge.sim.episode import STEPS, Episode
from dreamvla_edge.sim.expert import Expert
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.scene_feed import Now, SceneWriter
from dreamvla_edge.sim.scene_judge import SceneJudge
from dreamvla_edge.sim.tasks import FAMILIES


@pytest.mark.parametrize(("family", "seed"), [("touch", 500_000), ("drawer", 500_004)])
def test_it_is_done_when_the_episode_is(
    family: str, seed: int, scene: Scene, tmp_path: Path
) -> None:
    """Step for step, from the feed alone."""
    episode = Episode(scene, FAMILIES[family], seed)
    expert = Expert(scene, np.random.default_rng(0), noise=0.0)
    writer = SceneWriter(tmp_path / "feed", family, seed, len(scene.data.qpos))
    writer.write(Now(1.0, scene.data.qpos.copy()))
    with closing(writer), closing(SceneJudge(tmp_path / "feed")) as judge:
        assert judge.task.instruction == episode.task.instruction
        while not episode.done and episode.steps < STEPS:
            shown = expert.act(episode.progress, episode.goal)
            episode.step(episode.goal + shown.done, shown.opening)
            writer.write(Now(2.0 + episode.steps, scene.data.qpos.copy()))
            assert judge.look() == episode.done
        assert episode.done and episode.steps > 5


def test_without_a_feed_there_is_nothing_to_judge(tmp_path: Path) -> None:
    """A clear error."""
    with pytest.raises(ObservationError, match="cannot be read as a scene"):
        SceneJudge(tmp_path / "feed")
