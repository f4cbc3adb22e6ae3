"""Becomes a machine that systemd has started, with nothing in it but one unit of ours.

    unshare --mount python booted.py FOLDER

FOLDER holds `etc/`, which is laid over that of this machine, and `opt/`, which takes its place.
Prints the number of the process that is systemd; ends with its standard input. Needs root and a
kernel with cgroup 2; nothing of it is seen outside but a control group while it lasts.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_NAMESPACES = ("--mount", "--net", "--pid", "--ipc", "--uts", "--cgroup", "--fork", "--mount-proc")
_TARGETS = ("sysinit", "basic", "multi-user", "shutdown", "umount", "final")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


def main() -> None:
    """Outside a group of its own, inside systemd."""
    folder, *inside = sys.argv[1:]
    if inside:
        boot(Path(folder))
    else:
        keep(Path(folder))


def keep(folder: Path) -> None:
    """Starts it in a control group of its own and clears up when it has ended."""
    groups = folder / "groups"
    groups.mkdir()
    mount("-t", "cgroup2", "cgroup2", groups)
    own = groups / f"dreamvla-test-{os.getpid()}"
    own.mkdir()
    (own / "cgroup.procs").write_text(str(os.getpid()))
    command = ["unshare", *_NAMESPACES, "--kill-child", sys.executable, __file__, str(folder), "in"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as program:
        children = Path(f"/proc/{program.pid}/task/{program.pid}/children")
        while not (found := children.read_text().split()):
            time.sleep(0.01)
        print(found[0], flush=True)
        sys.stdin.read()
        os.kill(int(found[0]), signal.SIGKILL)
    (groups / "cgroup.procs").write_text(str(os.getpid()))
    for path, _, _ in os.walk(own, topdown=False):
        while True:
            try:
                os.rmdir(path)
                break
            except OSError:  # what was killed is still ending
                time.sleep(0.01)


def boot(folder: Path) -> None:
    """Mounts what systemd needs and what it may not touch, then becomes it."""
    mount("-t", "tmpfs", "tmpfs", "/run")
    mount("-t", "cgroup2", "cgroup2", "/sys/fs/cgroup")
    mount("--bind", "/proc/sys", "/proc/sys")
    mount("-o", "remount,bind,ro", "/proc/sys")
    devices = folder / "dev"
    for name in ("pts", "shm"):
        (devices / name).mkdir(parents=True)
    for name in _DEVICES:
        (devices / name).touch()
        mount("--bind", f"/dev/{name}", devices / name)
    (devices / "console").touch()  # a file: what systemd has to say
    mount("-t", "devpts", "-o", "newinstance,ptmxmode=0666", "devpts", devices / "pts")
    (devices / "ptmx").symlink_to("pts/ptmx")
    mount("--rbind", devices, "/dev")
    upper, work = folder / "etc", folder / "work"
    work.mkdir()
    options = f"lowerdir=/etc,upperdir={upper},workdir={work}"
    mount("-t", "overlay", "overlay", "-o", options, "/etc")
    mount("--bind", folder / "opt", "/opt")
    units = Path("/run/units")
    units.mkdir()
    for name in _TARGETS:
        text = f"[Unit]\nDescription={name}\nDefaultDependencies=no\n"
        (units / f"{name}.target").write_text(text)
    os.environ["SYSTEMD_UNIT_PATH"] = f"/etc/systemd/system:{units}"
    os.environ["container"] = "test"  # so it leaves clock, modules and the like alone
    options = ["--system", "--unit=multi-user.target", "--log-target=console", "--show-status=no"]
    os.execv("/lib/systemd/systemd", ["/lib/systemd/systemd", *options])


def mount(*words: object) -> None:
    """As the command."""
    subprocess.run(["mount", *map(str, words)], check=True)


if __name__ == "__main__":
    main()
