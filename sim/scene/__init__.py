"""A table with an arm on it, in MuJoCo: physics, pictures, and what is the case."""

import os
from ctypes.util import find_library

# MuJoCo looks for it when it is imported. Without a screen it must be told what else can draw.
if "DISPLAY" not in os.environ and "WAYLAND_DISPLAY" not in os.environ:
    os.environ.setdefault("MUJOCO_GL", "egl" if find_library("EGL") else "osmesa")

try:
    import mujoco as _mujoco  # noqa: F401
except ModuleNotFoundError as error:
    cure = "the scene needs MuJoCo: pip install 'dreamvla-edge[sim]'"
    raise ModuleNotFoundError(cure, name="mujoco") from error
