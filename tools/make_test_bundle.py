"""Export the golden case `calvin_small` into the folder that is named: for tools/python310.sh."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from bundles import Bundles  # noqa: E402
from golden_cases import Golden  # noqa: E402


def main(folder: Path) -> None:
    """Make `folder`/calvin_small."""
    folder.mkdir(parents=True, exist_ok=True)
    print(Bundles(folder, Golden()).bundle("calvin_small").path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
