"""What runs on a device with nothing but its own Python (3.8 or later): standard library only.

While it is flashed, the folder goes there as one zip file over the connection (`agent.py`). Every
release has it too, for what starts its service (`launch.py`).
"""

from pathlib import Path

FOLDER = Path(__file__).parent
"""This one."""
