"""The numbers of the last run, kept for `dreamvla doctor --report`."""

from __future__ import annotations

import datetime
import importlib.metadata
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


def keep_last_run(bundle: Path, numbers: Mapping[str, Any]) -> None:
    """Writes them below $XDG_STATE_HOME; a run does not fail because that cannot be written."""
    from dreamvla_edge.deploy.traces import LAST_RUN, state_folder
    from dreamvla_edge.runtime.errors import OutputError

    from .written import write_file

    file = state_folder() / LAST_RUN
    document = {
        "ended": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "version": importlib.metadata.version("dreamvla-edge"),
        "bundle": str(bundle.resolve()),
        "numbers": dict(numbers),
    }
    with suppress(OSError, OutputError):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, json.dumps(document, indent=1).encode())
