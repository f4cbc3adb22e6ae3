"""A real sshd that a real ssh reaches through its configuration, without a port."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path


class SshServer:
    """Host `board` for programs that find `ssh` in `programs`; logs in as this user.

    sshd serves one connection on the pipes of ssh's ProxyCommand; keys and known hosts are made
    for it, and host keys are checked.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.programs = folder, folder / "programs"
        self.programs.mkdir(parents=True)
        for name in ("host_key", "client_key"):
            command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name]
            subprocess.run(command, check=True)
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where sshd drops its rights
        self.configure()
        self.trust(folder / "host_key.pub")
        ssh = self.programs / "ssh"
        ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/ssh_config "$@"\n')
        ssh.chmod(0o755)

    def configure(self, before: str = "") -> None:
        """Writes both configurations; before: shell commands that come before what is asked."""
        folder = self.folder
        (folder / "sshd_config").write_text(
            f"HostKey {folder}/host_key\nAuthorizedKeysFile {folder}/client_key.pub\n"
            "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\n"
            "StrictModes no\nPermitRootLogin yes\nPidFile none\nLogLevel ERROR\n"
            f'ForceCommand {before or ":"}; eval "$SSH_ORIGINAL_COMMAND"\n'
        )
        (folder / "ssh_config").write_text(
            f"Host board\n  ProxyCommand {shutil.which('sshd') or '/usr/sbin/sshd'} -i -e"
            f" -f {folder}/sshd_config 2>>{folder}/sshd.log\n"
            f"  IdentityFile {folder}/client_key\n  IdentitiesOnly yes\n  BatchMode yes\n"
            f"  UserKnownHostsFile {folder}/known_hosts\n  StrictHostKeyChecking yes\n"
        )

    def trust(self, key: Path) -> None:
        """Makes this the one known key of the host."""
        (self.folder / "known_hosts").write_text(f"board {key.read_text()}")

    @property
    def environment(self) -> dict[str, str]:
        """Of a program that shall find this host."""
        return {**os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}"}
