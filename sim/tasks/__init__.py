"""What the demo robot is told to do: families of tasks by name; `docs/tasks.md` shows them."""

from collections.abc import Mapping

from .bowl import BOWL
from .drawer import DRAWER
from .lift import LIFT
from .push import PUSH
from .task import Family, Object, Task, draw, objects, said
from .touch import TOUCH

FAMILIES: Mapping[str, Family] = {f.name: f for f in (TOUCH, PUSH, LIFT, BOWL, DRAWER)}

__all__ = ["FAMILIES", "Family", "Object", "Task", "draw", "objects", "said"]
