"""A board with an arm and two cameras, and what the probe and the checks say of it."""

from __future__ import annotations

import os
import pty
from pathlib import Path
from typing import Any

import msgspec
import pytest

from boards import BOARDS, Tree, stub
from dreamvla_edge.deploy import probe
from dreamvla_edge.deploy.facts import CudaDevice, Facts, Gpu, Python, Scheduling, decode
from dreamvla_edge.deploy.finding import Finding
from dreamvla_edge.deploy.findings import findings
from dreamvla_edge.deploy.jetpack import jetpack_of
from dreamvla_edge.deploy.package_checks import BASE, EXTRAS

ON_BOARD = [name for extra in ("jetson", "camera", "record") for name in EXTRAS[extra][0]]


class Patient:
    """Nothing is wrong with it until a test plants something.

    tree: its files; programs: the folder of its stubs; arm, other: pseudo-terminals.
    """

    def __init__(self, folder: Path, kind: str, patch: pytest.MonkeyPatch) -> None:
        self.kind = BOARDS[kind]
        self.tree = Tree(folder / "root")
        self.tree.board(self.kind)
        self.programs = folder / "programs"
        self.site = folder / "site"
        self._pairs = [pty.openpty() for _ in range(4)]
        self.arm, self.other, self.top, self.wrist = (
            Path(os.ttyname(terminal)) for _, terminal in self._pairs
        )
        for _, terminal in self._pairs:  # nobody holds it
            os.close(terminal)
        self.tree.serial("ttyACM0", self.arm)
        self.tree.camera(0, self.top, "2-1", "Table Camera")
        self.tree.camera(2, self.wrist, "2-2", "Wrist Camera")
        self.tensorrt(self.kind.tensorrt)
        stub(self.programs, "timedatectl", synchronised="yes")
        patch.setenv("PATH", f"{self.programs}:{os.environ['PATH']}")
        patch.syspath_prepend(self.site)
        patch.setattr(probe, "PACKAGES", ("dreamvla-edge",))  # each costs milliseconds

    def close(self) -> None:
        """Gives the pseudo-terminals back."""
        for master, _ in self._pairs:
            os.close(master)

    def tensorrt(self, version: str) -> None:
        """Python's package of this version, or none."""
        folder = self.site / f"tensorrt-{self.kind.tensorrt}.dist-info"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "METADATA").unlink(missing_ok=True)
        if version:
            text = f"Metadata-Version: 2.1\nName: tensorrt\nVersion: {version}\n"
            (folder / "METADATA").write_text(text)
        else:
            folder.rmdir()

    def facts(self, **instead: Any) -> Facts:
        """As the probe finds them; what this machine cannot have is put in its place.

        That is its GPU, the Python of its JetPack with our packages, and rights.
        """
        document = probe.probe((str(self.tree.root),), self.tree.root)
        found = decode(msgspec.json.encode(document))
        release = jetpack_of(found.l4t or "")
        version = f"{release.python if release else '3.11'}.1"
        cuda = self.kind.cuda.rpartition(".")[0]
        device = CudaDevice("Orin", cuda, "8.7", 8, 8_000_000_000)
        usual = {
            "python": Python(version, "/usr/bin/python3", True),
            "gpu": Gpu(("/dev/nvmap",), True, device, ""),
            "scheduling": Scheduling(True, 50, -1),
            "packages": dict.fromkeys(("dreamvla-edge", *BASE, *ON_BOARD), cuda),
        }
        return msgspec.structs.replace(found, **{**usual, **instead})

    def findings(self, **instead: Any) -> dict[str, Finding]:
        """By name."""
        return {finding.name: finding for finding in findings(self.facts(**instead))}
