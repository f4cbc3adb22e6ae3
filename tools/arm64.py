"""Runs `dreamvla verify` and `dreamvla doctor` on emulated arm64, with the wheels of a Jetson.

    tools/arm64.py [BUNDLE]      the demo's bundle if none is named

debootstrap unpacks a Debian for arm64 into build/arm64/, pip the wheels for its Python; qemu-user
runs both. Nothing of this machine changes: qemu is registered in a user namespace of its own,
which Linux 6.7 or later gives. It shows that the wheels fit together and compute the same on
aarch64; it shows nothing about speed, TensorRT or a GPU. /sys stays empty inside: what this
machine's says of its processor lets ONNX Runtime crash under emulation.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import IO

from wheelhouse import ROOT, close, install

HOME = ROOT / "build/arm64"
DEBIAN, SITE = HOME / "debian", "opt/site"
SUITE, MIRROR = "bookworm", "http://deb.debian.org/debian"
PROGRAMS = {"debootstrap": "debootstrap", "qemu-aarch64-static": "qemu-user-static"}
_NEW_USER, _NEW_MOUNTS = 0x1000_0000, 0x0002_0000
_MAGIC = r"\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
_BINFMT = Path("/proc/sys/fs/binfmt_misc")


def missing() -> str:
    """Why it cannot run here; empty if it can."""
    absent = [package for name, package in PROGRAMS.items() if shutil.which(name) is None]
    if absent:
        return f"it needs {' '.join(absent)}: sudo apt-get install {' '.join(absent)}"
    version = tuple(int(part) for part in os.uname().release.split(".")[:2])
    if os.getuid() != 0 or version < (6, 7):
        return "only root can, with Linux 6.7 or later"
    return ""


def make_debian() -> str:
    """Unpacks Debian with Python, once; the version of that Python, such as 3.11."""
    if not (DEBIAN / "usr/bin/python3").is_symlink():
        shutil.rmtree(DEBIAN, ignore_errors=True)
        HOME.mkdir(parents=True, exist_ok=True)
        unpack = ["debootstrap", "--foreign", "--arch=arm64", "--variant=minbase"]
        run(*unpack, "--include=python3", SUITE, DEBIAN, MIRROR)
        for package in sorted((DEBIAN / "var/cache/apt/archives").glob("*.deb")):
            with subprocess.Popen(
                ["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE
            ) as unpacking:
                run("tar", "-x", "--keep-directory-symlink", "-C", DEBIAN, stdin=unpacking.stdout)
    for name in ("proc", "sys"):
        if (DEBIAN / name).is_symlink():
            (DEBIAN / name).unlink()
        (DEBIAN / name).mkdir(exist_ok=True)
    return os.readlink(DEBIAN / "usr/bin/python3").removeprefix("python")


def make_site(python: str) -> None:
    """Installs the wheels, once for each version of the project's files, and our own anew."""
    site, wheels = DEBIAN / SITE, HOME / "wheels"
    inputs = (ROOT / "pyproject.toml").read_text() + (ROOT / "constraints.txt").read_text()
    stamp = HOME / "installed"
    if not stamp.exists() or stamp.read_text() != inputs:
        shutil.rmtree(site, ignore_errors=True)
        shutil.rmtree(wheels, ignore_errors=True)
        wheels.mkdir()
        close(python, wheels)
        install(python, sorted(wheels.glob("*.whl")), site)
        stamp.write_text(inputs)
    for old in (*site.glob("dreamvla_edge*"), site / "bin"):
        shutil.rmtree(old, ignore_errors=True)
    built = HOME / "own"
    shutil.rmtree(built, ignore_errors=True)
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", built, ROOT)
    install(python, sorted(built.glob("*.whl")), site)


def inside(*command: str) -> int:
    """Runs a command in that Debian; its exit status."""
    parent, child = socket.socketpair()
    process = os.fork()
    if process == 0:
        try:
            enter(child)
            os.execvp(command[0], command)
        except BaseException as error:
            print(f"arm64: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    child.close()
    if parent.recv(1):
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{process}/{name}").write_text("0 0 65536")
        parent.send(b"x")
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def enter(parent: socket.socket) -> None:
    """Namespaces of its own in which arm64 programs run, and Debian as the root."""
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_USER | _NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "no namespaces")
    parent.send(b"x")
    parent.recv(1)  # by now it is said who is who in there
    subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", _BINFMT], check=True)
    emulator = shutil.which("qemu-aarch64-static")
    (_BINFMT / "register").write_text(f":arm64:M::{_MAGIC}:{_MASK}:{emulator}:OPF")
    for name in ("dev", "proc"):
        subprocess.run(["mount", "--rbind", f"/{name}", DEBIAN / name], check=True)
    os.chroot(DEBIAN)
    os.chdir("/")
    os.environ.update(PYTHONPATH=f"/{SITE}", HOME="/root", LC_ALL="C.UTF-8")


def run(*command: object, stdin: IO[bytes] | None = None) -> None:
    """A command that must succeed."""
    if subprocess.run(list(map(str, command)), stdin=stdin).returncode:
        sys.exit(f"arm64: {' '.join(map(str, command))} failed")


def main() -> None:
    """Exit status 0 if both commands do what they shall, or nothing can be tried here."""
    why_not = missing()
    if why_not:
        print(f"arm64: NOT RUN, {why_not}: nothing is known about aarch64", file=sys.stderr)
        return
    python = make_debian()
    make_site(python)
    bundle = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "demo/bundle"
    shutil.rmtree(DEBIAN / "opt/bundle", ignore_errors=True)
    shutil.copytree(bundle, DEBIAN / "opt/bundle")
    print(f"Debian {SUITE} for arm64, Python {python}, {bundle}", flush=True)
    dreamvla = "python3 -m dreamvla_edge.cli"
    if inside("sh", "-c", f"{dreamvla} verify /opt/bundle 2>/tmp/verify.err"):
        sys.exit(f"arm64: verify failed: {(DEBIAN / 'tmp/verify.err').read_text()[-2000:]}")
    inside("sh", "-c", f"{dreamvla} doctor --json >/tmp/doctor.json")
    said = json.loads((DEBIAN / "tmp/doctor.json").read_text())
    machine, have = said["facts"]["system"]["machine"], said["facts"]["packages"]
    print(f"doctor: {machine}, onnxruntime {have['onnxruntime']}, numpy {have['numpy']}")
    if machine != "aarch64":
        sys.exit(f"arm64: the probe found {machine}")


if __name__ == "__main__":
    main()
