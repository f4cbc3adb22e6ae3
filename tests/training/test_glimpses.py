"""Moments of many layouts: each of its own, the same however many draw them."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.sim.scene.layout import COLOURS, draw
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.scene.views import FIRST_BLOCK
from dreamvla_edge.train import glimpses
from dreamvla_edge.train.glimpses import Glimpses, catch

FIRST_SEED, COUNT, SIZE = 300_000, 5, 48
POSES = np.array([[0.1, -0.4, 0.2, 1.4, 0.0, 1.0], [-0.2, -0.2, 0.0, 1.3, 0.3, 0.0]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five of them."""
    place = tmp_path_factory.mktemp("glimpses") / "all"
    catch(POSES, FIRST_SEED, COUNT, SIZE, place, cores=1)
    return place


def test_each_is_of_its_own_layout(folder: Path) -> None:
    """Blocks are where the seed puts them but for one, and only those that it has are seen."""
    found = Glimpses.load(folder)
    assert found.images.shape == (COUNT, 2, SIZE, SIZE, 3) and found.images.std() > 10
    moved = []
    for number in range(COUNT):
        moved.append(0)
        blocks = {block.colour: block for block in draw(FIRST_SEED + number, 5).blocks}
        for index, colour in enumerate(COLOURS):
            seen = (found.things[number, 0] == FIRST_BLOCK + index).sum()
            x, y = found.places[number, 0, index, :2]
            if colour not in blocks:
                assert seen == 0 and np.isnan(x)
            elif not np.isnan(x):
                moved[-1] += np.hypot(x - blocks[colour].x, y - blocks[colour].y) > 1e-3
    assert max(moved) <= 1
    assert (~np.isnan(found.places[:, 0, :4, 0])).sum() > 2 * COUNT


def test_a_block_is_moved_to_the_tool() -> None:
    """Only one, near it, and never into another or into the fingers."""
    random, layout = np.random.default_rng(0), draw(1, 5)
    far = []
    for _ in range(200):
        tool = np.array([*random.uniform(-0.1, 0.1, 2) + (0.25, 0.0), random.uniform(0.02, 0.1)])
        after = glimpses._nearer(layout, tool, random)
        moved = [b for b in after.blocks if b not in layout.blocks]
        assert len(after.blocks) == len(layout.blocks) and len(moved) <= 1
        if moved:
            (block,) = moved
            assert tool[2] >= 0.05
            others = [b for b in after.blocks if b is not block]
            assert min(math.dist((block.x, block.y), (b.x, b.y)) for b in others) >= 0.05
            far.append(math.dist((block.x, block.y), tool[:2]))
    assert 50 < len(far) < 200 and 0.02 < np.mean(far) < 0.045


def test_the_arm_is_in_one_of_the_poses() -> None:
    """Exactly, and nothing else has moved."""
    scene = Scene(load_description("so101"))
    scene.reset(draw(1, 5))
    before = scene.data.qpos.copy()
    scene.pose(POSES[1, :5], 0.0)
    np.testing.assert_allclose(scene.joints, POSES[1, :5])
    assert scene.opening == 0
    assert np.count_nonzero(scene.data.qpos != before) == 7


def test_who_draws_does_not_matter(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes give what one gave; what is there is never half."""
    monkeypatch.setattr(glimpses, "_PART", 2)
    catch(POSES, FIRST_SEED, COUNT, SIZE, tmp_path / "all", cores=2)
    assert [path.name for path in tmp_path.iterdir()] == ["all"]
    for one, other in zip(Glimpses.load(folder), Glimpses.load(tmp_path / "all"), strict=True):
        np.testing.assert_array_equal(one, other)
