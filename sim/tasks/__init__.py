"""What the demo robot is told to do: families of tasks by name; `docs/tasks.md` shows them."""

from collections.abc import Mapping

from .lift import LIFT
from .task import Family, Task, draw
from .touch import TOUCH

FAMILIES: Mapping[str, Family] = {family.name: family for family in (TOUCH, LIFT)}

__all__ = ["FAMILIES", "Family", "Task", "draw"]
