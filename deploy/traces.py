"""What runs have left on the machine that runs this file, for somebody who shall help.

Only the standard library of Python 3.8 or later, like `deploy/probe.py`, and run in the same way.
One JSON document on stdout: `files` (name → text) and `missing` (name → why). Names of people and
machines, addresses and whatever looks like a secret are taken out here, before anything leaves.
"""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

LINES = 500
"""Of the journal, newest."""
TIMEOUT_S = 20
LAST_RUN = "dreamvla-edge/last-run.json"
"""Below $XDG_STATE_HOME; `dreamvla run` leaves its numbers there."""
REMOVED = "REMOVED"

_SECRETS = (
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    r"(?<=://)[^\s/@]+(?=@)",
    r"(?i)(?<=authorization: )[^\r\n\"]+",
    r"\b(?:hf|ghp|gho|glpat|github_pat|nvapi|sk|xox[abp])[-_][\w-]{12,}",
    r"\bAKIA[0-9A-Z]{16}\b",
    r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*",
)
_NAMED = re.compile(
    r"(?i)((?:token|password|passwd|secret|credential|api[_-]?key)[\w-]*[\"']?\s*(?:[=:]|\s)\s*)"
    r"([\"']?)[^\s\"',;&]{4,}"
)
_ADDRESS = re.compile(
    r"\b(?!127\.)(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)\b"
)
_MAC = re.compile(r"\b(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}\b")
_SECRET_NAME = re.compile(r"(?i)token|passw|secret|credential|api_?key|private")


def traces() -> dict[str, dict[str, str]]:
    """Files and why others are missing."""
    files: dict[str, str] = {}
    missing: dict[str, str] = {}
    for name, look in (("journal.txt", journal), ("last-run.json", last_run)):
        try:
            files[name] = redacted(look())
        except OSError as error:
            missing[name] = redacted(str(error))
    for name, file in bundles():
        try:
            files[name] = redacted(file.read_text(encoding="utf-8", errors="replace"))
        except OSError as error:
            missing[name] = redacted(str(error))
    return {"files": files, "missing": missing}


def journal() -> str:
    """Of our services, those of the system and of this user."""
    program = shutil.which("journalctl")
    if program is None:
        raise OSError("no journalctl")
    found = []
    for whose in ([], ["--user"]):
        command = [program, *whose, "-u", "dreamvla@*", "-n", str(LINES), "-o", "short-iso"]
        try:
            done = subprocess.run(
                [*command, "--no-pager", "--no-hostname"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT_S,
            )
        except subprocess.TimeoutExpired as error:
            raise OSError("journalctl gave no answer") from error
        found.append(done.stdout.decode(errors="replace"))
    if not any(line for text in found for line in text.splitlines() if line[:2] != "--"):
        raise OSError("the journal has nothing of dreamvla")
    return "\n".join(found)


def state_folder() -> Path:
    """Where programs keep what may be lost, by the XDG base directory specification."""
    return Path(os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state"))


def last_run() -> str:
    """What `dreamvla run` said when it ended."""
    return (state_folder() / LAST_RUN).read_text(encoding="utf-8")


def bundles() -> list[tuple[str, Path]]:
    """Manifests of the last run's bundle and of the installed ones."""
    found = []
    try:
        found.append(("bundle.json", Path(json.loads(last_run())["bundle"]) / "bundle.json"))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    for base in (Path("/opt/dreamvla"), Path(os.path.expanduser("~/.local/share/dreamvla"))):
        for current in sorted(base.glob("*/current")):
            name = f"releases/{current.parent.name}/bundle.json"
            found.append((name, current / "bundle/bundle.json"))
    return found


def redacted(text: str) -> str:
    """Without secrets, names of this user and machine, and addresses."""
    for pattern in _SECRETS:
        text = re.sub(pattern, REMOVED, text, flags=re.S)
    text = _NAMED.sub(rf"\1\2{REMOVED}", text)
    for name, value in os.environ.items():
        if _SECRET_NAME.search(name) and len(value) >= 6:
            text = text.replace(value, REMOVED)
    home = os.path.expanduser("~")
    if len(home) > 1:
        text = text.replace(home, "~")
    for name, instead in ((getpass.getuser(), "USER"), (platform.node(), "HOST")):
        if len(name) > 2 and name != "root":
            text = re.sub(rf"(?<![\w-]){re.escape(name)}(?![\w-])", instead, text)
    text = re.sub(r"/home/[^/\s\"']+", "/home/USER", text)
    return _MAC.sub("MAC", _ADDRESS.sub("ADDRESS", text))


def main() -> None:
    """Prints them."""
    document = json.dumps(traces(), indent=1, ensure_ascii=False)
    sys.stdout.buffer.write(document.encode("utf-8", "replace") + b"\n")


if __name__ == "__main__":
    main()
