"""A board to flash: a real sshd in namespaces of its own, where this machine looks like a Jetson.

    unshare --mount --net --pid --fork --kill-child --mount-proc \
        python jetson.py FOLDER FD JETPACK LOGIN

FOLDER: empty, keeps everything that is written; FD: a socket that listens on the loopback
device outside, the only way in or out; JETPACK: a key of BOARDS; LOGIN: root, or a user who is made
there, see `person`. What differs from a Jetson: the
processor, no TensorRT, no systemd (bin/systemctl stands in for it), and Python is that of the
tests, whose packages play those of the system.
"""

from __future__ import annotations

import os
import pwd
import select
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path

BOARDS = {
    "5": ("# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref", "orin", "tegra234"),
    "6": ("# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic", "orin", "tegra234"),
    "7": ("# R38 (release), REVISION: 2.0, GCID: 41844464, BOARD: generic", "thor", "tegra264"),
}
"""JetPack → first line of /etc/nv_tegra_release, and what the device tree names."""
MODELS = {
    "orin": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
    "thor": "NVIDIA Jetson AGX Thor Developer Kit",
}
_POWER = """\
< PARAM TYPE=FILE NAME=CPU_ONLINE >
CORE_0 /sys/devices/system/cpu/cpu0/online
< POWER_MODEL ID=0 NAME=15W >
CPU_ONLINE CORE_0 1
GPU MAX_FREQ 612000000
< POWER_MODEL ID=1 NAME=25W >
CPU_ONLINE CORE_0 1
GPU MAX_FREQ 918000000
< PM_CONFIG DEFAULT=1 >
"""
_SSHD = """\
HostKey {folder}/host_key
AuthorizedKeysFile /etc/ssh/client_key.pub
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
StrictModes no
UsePAM no
PidFile none
LogLevel ERROR
"""


def main() -> None:
    """Becomes the board and lets people in until it is killed."""
    folder, number, jetpack, login = sys.argv[1:]
    listener = socket.socket(fileno=int(number))
    disguise(Path(folder), jetpack)
    if login != "root":
        person(login)
    config = Path(folder) / "sshd_config"
    config.write_text(_SSHD.format(folder=folder))
    command = ["/usr/sbin/sshd", "-i", "-e", "-f", str(config)]
    log = os.open(f"{folder}/sshd.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    print("ready", flush=True)
    while True:
        if select.select([listener], [], [], 0.2)[0]:
            connection, _ = listener.accept()
            number = connection.fileno()
            actions = [(os.POSIX_SPAWN_DUP2, number, 0), (os.POSIX_SPAWN_DUP2, number, 1)]
            actions.append((os.POSIX_SPAWN_DUP2, log, 2))
            os.posix_spawn(command[0], command, dict(os.environ), file_actions=actions)
            connection.close()
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:  # process 1 of its namespace buries all
                pass
        except ChildProcessError:
            pass


def disguise(folder: Path, jetpack: str) -> None:
    """Mounts what makes the difference; nothing of it is seen outside."""
    release, chip, processor = BOARDS[jetpack]
    for place in ("/etc", "/var", "/usr/bin", "/usr/local/bin", "/home", str(Path.home())):
        cover(folder, place, place)
    base = sysconfig.get_path("purelib", "posix_prefix", _base_variables())
    cover(folder, base, sysconfig.get_path("purelib"))
    for path in Path(base).glob("*dreamvla_edge*"):
        path.unlink() if path.is_file() else subprocess.run(["rm", "-r", str(path)], check=True)
    for name in (".bashrc", ".profile"):  # what people put on the PATH here, a board has not
        (Path.home() / name).write_text("")
    for place in ("/opt", "/run"):
        (folder / place[1:]).mkdir(exist_ok=True)
        subprocess.run(["mount", "--bind", str(folder / place[1:]), place], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/sys/firmware"], check=True)
    tree = Path("/sys/firmware/devicetree/base")
    tree.mkdir(parents=True)
    (tree / "model").write_bytes(MODELS[chip].encode() + b"\0")
    (tree / "compatible").write_bytes(f"nvidia,{chip}\0nvidia,{processor}\0".encode())
    write("/etc/nv_tegra_release", release + "\n")
    write("/etc/nvpmodel.conf", _POWER)
    write("/etc/ssh/client_key.pub", (folder / "client_key.pub").read_text())
    for place in ("/run/sshd", "/run/systemd/system", "/run/units", "/var/lib/nvpmodel"):
        Path(place).mkdir(parents=True, exist_ok=True)
    write("/var/lib/nvpmodel/status", "pmode:0001\n")
    for tool in (Path(__file__).with_name("bin")).iterdir():
        text = tool.read_text().replace("@PYTHON@", str(Path(sys.executable).resolve()))
        for place in ("/usr/bin", "/usr/local/bin"):
            write(f"{place}/{tool.name}", text, 0o755)
    write("/run/complaints", "", 0o666)


def person(name: str) -> None:
    """A user with a home, a shell and the password `secret`, and no rights but these."""
    subprocess.run(["useradd", "-M", "-s", "/bin/sh", name], check=True)
    subprocess.run(["chpasswd"], input=f"{name}:secret\n", text=True, check=True)
    found = pwd.getpwnam(name)
    for place in (found.pw_dir, f"/run/user/{found.pw_uid}"):
        Path(place).mkdir(parents=True, exist_ok=True)
        os.chown(place, found.pw_uid, found.pw_gid)
    Path.home().chmod(0o755)  # the Python of the tests may lie there


def write(path: str, text: str, mode: int = 0o644) -> Path:
    """A file of its own: what was there may be another board's, too."""
    place = Path(path)
    place.unlink(missing_ok=True)
    place.write_text(text)
    place.chmod(mode)
    return place


def cover(folder: Path, place: str, lower: str) -> None:
    """Lays a layer over a folder that takes what is written there."""
    layer = folder / "layers" / place.strip("/").replace("/", "-")
    for name in ("upper", "work"):
        (layer / name).mkdir(parents=True, exist_ok=True)
    options = f"lowerdir={lower},upperdir={layer}/upper,workdir={layer}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", options, place], check=True)


def _base_variables() -> dict[str, str]:
    return {"base": sys.base_prefix, "platbase": sys.base_prefix}


if __name__ == "__main__":
    main()
