"""What is drawn, against a pinhole camera computed by hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import mujoco
import numpy as np
import pytest

from dreamvla_edge.sim.scene.layout import BLOCK_M, COLOURS, draw
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.scene.views import ARM, BOWL, CHEST, FIRST_BLOCK, NOTHING, TABLE, Role, Views

SIZE = 96
SEEDS = range(6)
ROLES: tuple[Role, Role] = ("primary", "wrist")


@pytest.fixture(scope="module")
def views(scene: Scene) -> Iterator[Views]:
    """Of the size that the demo network sees."""
    with Views(scene, SIZE) as views:
        yield views


def seen(scene: Scene, role: Role, point: np.ndarray) -> tuple[float, float, float]:
    """Row, column [pixel] and distance along the axis [m] at which a pinhole shows a point."""
    camera = scene.data.cam(role)
    right, up, back = camera.xmat.reshape(3, 3).T
    way = point - camera.xpos
    focal = SIZE / 2 / np.tan(np.radians(scene.model.cam(role).fovy[0]) / 2)
    depth = -float(way @ back)
    middle = SIZE / 2 - 0.5
    return middle - focal * (way @ up) / depth, middle + focal * (way @ right) / depth, depth


@pytest.mark.parametrize("seed", SEEDS)
def test_blocks_are_where_they_are(scene: Scene, views: Views, seed: int) -> None:
    """In the primary camera: the thing, its distance and its colour at the middle of its top."""
    layout = draw(seed, 5)
    scene.reset(layout)
    things, depth, image = (see("primary") for see in (views.things, views.depth, views.image))
    found = 0
    for block in layout.blocks:
        row, column, far = seen(scene, "primary", np.array([block.x, block.y, BLOCK_M]))
        at = round(row), round(column)
        if not all(2 <= place < SIZE - 2 for place in at) or things[at] == ARM:
            continue
        found += 1
        assert things[at] == FIRST_BLOCK + list(COLOURS).index(block.colour)
        assert depth[at] == pytest.approx(far, abs=0.01)
        assert image[at].argmax() in np.argsort(COLOURS[block.colour])[-2:]
    assert found >= 2


@pytest.mark.parametrize("role", ROLES)
def test_the_table_is_as_far_as_it_is(scene: Scene, views: Views, role: Role) -> None:
    """Where it is seen, the ray through the pixel meets it at that distance."""
    scene.reset(draw(1, 5))
    things, depth = views.things(role), views.depth(role)
    camera = scene.data.cam(role)
    right, up, back = camera.xmat.reshape(3, 3).T
    focal = SIZE / 2 / np.tan(np.radians(scene.model.cam(role).fovy[0]) / 2)
    checked = 0
    for row, column in np.argwhere((things == TABLE) & (depth < 2.0)):
        x, y = (column - (SIZE / 2 - 0.5)) / focal, (SIZE / 2 - 0.5 - row) / focal
        ray = x * right + y * up - back
        far = -camera.xpos[2] / ray[2]
        # A depth buffer of 24 bits between 2 cm and 20 m.
        assert depth[row, column] == pytest.approx(far, rel=2e-3, abs=1e-3)
        checked += 1
    assert checked > 1000


def test_what_moves_is_seen_to_move(scene: Scene, views: Views) -> None:
    """A block that is pushed, and nothing else; the same for both cameras."""
    layout = draw(4, 5)
    scene.reset(layout)
    before, colour = views.poses(), layout.blocks[1].colour
    for role in ROLES:
        assert not views.moving(role, before).any()
    scene.data.joint(colour).qpos[0] += 0.01
    scene.advance(0.0)
    scene.advance(0.0025)
    number = FIRST_BLOCK + list(COLOURS).index(colour)
    seen_moving = 0
    for role in ROLES:
        moving, things = views.moving(role, before), views.things(role)
        np.testing.assert_array_equal(moving, things == number)
        seen_moving += int(moving.sum())
    assert seen_moving > 20


def test_both_cameras_show_what_they_must(scene: Scene, views: Views) -> None:
    """The fingers in the wrist's view, arm and table in the other; no picture is like another."""
    pictures = []
    for seed in SEEDS:
        scene.reset(draw(seed, 5))
        for role in ROLES:
            things = views.things(role)
            assert 0.01 < (things == ARM).mean() < 0.6 and (things == TABLE).mean() > 0.3
            assert role == "wrist" or {BOWL, CHEST} < set(things.ravel().tolist())
            pictures.append(views.image(role).tobytes())
    assert len(set(pictures)) == len(pictures)
    assert NOTHING not in things or role == "wrist"


def test_the_same_scene_gives_the_same_bytes(scene: Scene, views: Views) -> None:
    """Also after another one was drawn."""
    scene.reset(draw(7, 5))
    first = views.image("primary")
    scene.reset(draw(8, 5))
    views.depth("wrist")
    scene.reset(draw(7, 5))
    np.testing.assert_array_equal(views.image("primary"), first)


def test_one_thread_draws_at_a_time(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening, drawing and closing of threads with views of their own never overlap.

    That they crash Mesa 22.3 where they do takes a minute on a busy machine: too long to wait for.
    """
    inside, most = list[str](), list[int]()

    def watched(name: str) -> Callable[..., Any]:
        real = getattr(mujoco.Renderer, name)

        def enter(*arguments: Any) -> Any:
            if name == "close" and arguments[0]._gl_context is None:
                return None  # once more, when it is forgotten
            inside.append(name)
            most.append(len(inside))
            time.sleep(0.002)  # so that any other thread would come in
            try:
                return real(*arguments)
            finally:
                inside.remove(name)

        return enter

    for name in ("__init__", "render", "close"):
        monkeypatch.setattr(mujoco.Renderer, name, watched(name))

    def look() -> None:
        for _ in range(4):
            with Views(scene, 16) as views:
                views.image("primary")
                views.depth("wrist")

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) >= 3 * 4 * 4 and max(most) == 1
