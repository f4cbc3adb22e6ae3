"""What the cameras of a scene see: colours, distances, things, and what moves."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Literal

import mujoco
import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.errors import BackendError
from dreamvla_edge.runtime.rotation import Array

from . import things
from .layout import COLOURS
from .scene import Scene

Role = Literal["primary", "wrist"]
NOTHING, TABLE, ARM, BOWL, CHEST, FIRST_BLOCK = range(6)
"""Numbers of things; blocks follow in the order of COLOURS."""

_DRAWING = threading.Lock()
"""One thread of the process draws at a time. MuJoCo opens one EGL display for all, without a lock.
Before it maps a resource Mesa 22.3's llvmpipe looks through what every context of that display has
yet to draw, which their threads change meanwhile: of twelve busy processes with three drawing
threads ten ended in a segmentation fault within a minute, in `lp_scene_is_resource_referenced`."""


class Views:
    """Draws a scene as it is now, in pictures of one size [pixel] for both cameras.

    Use as a context, in one thread: what draws is a resource. Raises BackendError if nothing can.
    """

    def __init__(self, scene: Scene, size: int = 96) -> None:
        self._scene, self.size = scene, size
        try:
            with _DRAWING:
                self._renderer = mujoco.Renderer(scene.model, size, size)
        except Exception as error:  # of EGL, OSMesa, GLFW or MuJoCo, each with its own kinds
            raise BackendError(
                f"MuJoCo cannot draw here ({error})",
                "EGL or OSMesa, with or without a graphics card",
                "sudo apt-get install libegl1 libgl1-mesa-dri, or set MUJOCO_GL to what is there"
                " before anything imports mujoco",
            ) from error
        model = scene.model
        self._things = np.full(model.ngeom + 1, NOTHING, np.uint8)  # the last one: no geom
        for geom in range(model.ngeom):
            if model.geom_contype[geom] == 1:
                self._things[geom] = ARM
        self._things[model.geom("table").id] = TABLE
        for thing, name in ((BOWL, things.BOWL), (CHEST, things.CHEST), (CHEST, things.DRAWER)):
            self._things[:-1][model.geom_bodyid == model.body(name).id] = thing
        for number, colour in enumerate(COLOURS, FIRST_BLOCK):
            self._things[model.geom(colour).id] = number

    def __enter__(self) -> Views:
        """Is ready since it was made."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes."""
        self.close()

    def close(self) -> None:
        """Gives the resource back."""
        with _DRAWING:
            self._renderer.close()

    def image(self, role: Role) -> NDArray[np.uint8]:
        """Colours (size, size, 3)."""
        return np.array(self._render(role), np.uint8)

    def depth(self, role: Role) -> NDArray[np.float32]:
        """Distances along the camera's axis (size, size) [m]."""
        self._renderer.enable_depth_rendering()
        try:
            return np.array(self._render(role), np.float32)
        finally:
            self._renderer.disable_depth_rendering()

    def things(self, role: Role) -> NDArray[np.uint8]:
        """What is seen (size, size): NOTHING, TABLE, ARM, or FIRST_BLOCK and on."""
        return self._things[self._geoms(role)]

    def moving(self, role: Role, before: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Where something is seen that has moved in the world since `before` (size, size).

        before: `poses` of then. A camera that moves past the table makes nothing of it move.
        """
        moved = np.abs(self.poses() - before).max(axis=1) > _MOVED_M
        return np.append(moved, False)[self._geoms(role)]

    def poses(self) -> Array:
        """Where everything is: position and directions of every geom, to compare with later."""
        data = self._scene.data
        # Directions at the size of things: what turns by 0.1 rad moves its edge by some mm.
        found: Array = np.hstack([data.geom_xpos, data.geom_xmat * _SIZE_M])
        return found

    def _geoms(self, role: Role) -> NDArray[np.int32]:
        self._renderer.enable_segmentation_rendering()
        try:
            return np.array(self._render(role)[..., 0], np.int32)  # -1: no geom
        finally:
            self._renderer.disable_segmentation_rendering()

    def _render(self, role: Role) -> NDArray[np.generic]:
        self._renderer.update_scene(self._scene.data, role)
        with _DRAWING:
            found: NDArray[np.generic] = self._renderer.render()
        return found


_SIZE_M, _MOVED_M = 0.02, 0.0015
