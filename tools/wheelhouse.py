"""The wheels that a Jetson installs, for devices without internet.

    tools/wheelhouse.py [3.10 3.12]          download what deploy/requirements-*.txt lists
    tools/wheelhouse.py --lock [3.10 3.12]   resolve anew and write those lists

build/wheelhouse/3.10/ (JetPack 6) and build/wheelhouse/3.12/ (JetPack 7) then hold every wheel
for aarch64 and, as `requirements.txt`, their list: one line a package with version and sha256,
behind it who needs it. Our own wheel is not among them: flash sends the version that it is.

pip resolves for another machine, but reads the conditions of requirements (`python_version < …`)
as its own machine has them. So the lists are closed here, from the wheels' own metadata.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

import msgspec
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

ROOT = Path(__file__).resolve().parent.parent
HOUSE = ROOT / "build/wheelhouse"
GLIBC = {"3.10": 35, "3.12": 39}
"""Python of a JetPack → minor version of its glibc: Ubuntu 22.04 and 24.04."""
OTHER_GLIBC = 31
"""Of a system with another Python."""
EXTRAS = ("jetson", "camera")
INSTALLER = "pip"
"""Comes along: a board without python3-venv has none."""
SUPPLIED = {
    "tensorrt": "python3-libnvinfer, for the system's Python only",
    "libnvinfer, cuDNN, CUDA with nvcc": "nvidia-jetpack",
    "libcuda.so.1": "nvidia-l4t-cuda or the driver of JetPack 7",
    "Python, venv": "python3, python3-venv",
}
"""What no list has because the device brings it, and in which of its packages."""


@dataclass(frozen=True)
class Pin:
    """A line of a list; by: packages that need it, empty for a root."""

    name: str
    version: str
    sha256: str
    by: tuple[str, ...]


def requirements_file(python: str) -> Path:
    """The committed list for a Python."""
    return ROOT / "deploy" / f"requirements-{python}.txt"


def environment(python: str) -> dict[str, str]:
    """What conditions of requirements are read with: the device's, not this machine's."""
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": "aarch64",
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{python}.12",
        "python_version": python,
        "sys_platform": "linux",
        "extra": "",
    }


def wanted(requirement: Requirement, python: str, extras: frozenset[str] = frozenset()) -> bool:
    """Whether a requirement counts on a device; extras: of the package that states it."""
    if requirement.marker is None:
        return True
    target = environment(python)
    return any(requirement.marker.evaluate({**target, "extra": e}) for e in ("", *extras))


def roots(python: str) -> dict[str, Requirement]:
    """What pyproject.toml asks for on a device, by canonical name."""
    project = msgspec.toml.decode((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], INSTALLER]
    for extra in EXTRAS:
        lines += project["optional-dependencies"][extra]
    found = (Requirement(line) for line in lines)
    return {canonicalize_name(r.name): r for r in found if wanted(r, python)}


def constraints(python: str) -> dict[str, Requirement]:
    """Versions of constraints.txt for a Python, by canonical name."""
    lines = (line.partition("#")[0].strip() for line in (ROOT / "constraints.txt").open())
    found = (Requirement(line) for line in lines if line)
    return {canonicalize_name(r.name): r for r in found if wanted(r, python)}


def pins(python: str) -> dict[str, Pin]:
    """The committed list."""
    found = {}
    for line in requirements_file(python).read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        requirement, _, by = line.partition("  # ")
        name, _, rest = requirement.partition("==")
        version, _, digest = rest.partition(" --hash=sha256:")
        needed = by.removeprefix("for ").split(", ") if by.startswith("for ") else []
        found[name] = Pin(name, version, digest.strip(), tuple(needed))
    return found


def requires(wheel: Path) -> list[Requirement]:
    """What a wheel's metadata asks for."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = HeaderParser().parsestr(archive.read(name).decode())
    return [Requirement(line) for line in metadata.get_all("Requires-Dist") or ()]


def gaps(python: str, known: Mapping[str, Sequence[Requirement]]) -> list[str]:
    """What the committed list lacks, has wrong or has for nothing.

    known: what packages ask for, by canonical name; for those it leaves out the list is believed.
    """
    listed, found = pins(python), []
    counted = int(requirements_file(python).read_text().split()[2])
    if counted != len(listed):  # what only packages unknown here want is seen by this alone
        found.append(f"the list has {len(listed)} lines, and had {counted} when it was written")
    asked = [("", name, requirement) for name, requirement in roots(python).items()]
    extras: dict[str, frozenset[str]] = {}
    reached = set()
    while asked:
        by, name, requirement = asked.pop()
        pin = listed.get(name)
        if pin is None:
            found.append(f"{by or 'pyproject.toml'} wants {requirement}, which is not listed")
            continue
        if not requirement.specifier.contains(pin.version, prereleases=True):
            found.append(f"{by or 'pyproject.toml'} wants {requirement}, not {pin.version}")
        if by and by not in pin.by:
            found.append(f"{name} is for {by} too")
        before = extras.get(name)
        extras[name] = (before or frozenset()) | requirement.extras
        if extras[name] == before:
            continue
        reached.add(name)
        if name in known:
            needs = [r for r in known[name] if wanted(r, python, extras[name])]
            asked += [(name, canonicalize_name(need.name), need) for need in needs]
        else:
            asked += [
                (name, other, Requirement(other)) for other, its in listed.items() if name in its.by
            ]
    found += [f"nothing wants {name}" for name in sorted(set(listed) - reached)]
    for name, limit in constraints(python).items():
        pin = listed.get(name)
        if pin is not None and not limit.specifier.contains(pin.version, prereleases=True):
            found.append(f"constraints.txt has {limit}, not {pin.version}")
    return found


def close(python: str, folder: Path) -> dict[str, Pin]:
    """Downloads everything into a folder, one package after another; what was found."""
    limits = constraints(python)
    asked: dict[str, dict[str, Requirement]] = {}
    extras: dict[str, set[str]] = {}
    waiting = [(name, "", requirement) for name, requirement in roots(python).items()]
    wheels: dict[str, Path] = {}
    while waiting:
        name, by, requirement = waiting.pop(0)
        asked.setdefault(name, {})[by] = requirement
        new = set(requirement.extras) - extras.setdefault(name, set())
        extras[name] |= new
        if name not in wheels:
            every = [r.specifier for r in asked[name].values()]
            every += [limits[name].specifier] if name in limits else []
            wheels[name] = _newest(name, ",".join(str(s) for s in every if str(s)), python, folder)
        elif not new:
            continue
        for needed in requires(wheels[name]):
            if wanted(needed, python, frozenset(extras[name])):
                waiting.append((canonicalize_name(needed.name), name, needed))
    for name, wheel in wheels.items():
        version = parse_wheel_filename(wheel.name)[1]
        for by, requirement in asked[name].items():
            if not requirement.specifier.contains(version, prereleases=True):
                sys.exit(f"wheelhouse: {by or 'dreamvla-edge'} wants {requirement}, not {version}")
    return {
        name: Pin(
            name,
            str(parse_wheel_filename(wheel.name)[1]),
            hashlib.sha256(wheel.read_bytes()).hexdigest(),
            tuple(sorted(by for by in asked[name] if by)),
        )
        for name, wheel in sorted(wheels.items())
    }


def text(python: str, found: dict[str, Pin]) -> str:
    """The committed form of a list."""
    lines = [
        f"# The {len(found)} wheels for aarch64 that a Jetson with Python {python} installs beside",
        f"# dreamvla-edge with the extras [{', '.join(EXTRAS)}]; from tools/wheelhouse.py --lock,",
        "# downloaded by `make wheelhouse`. The device itself brings:",
        *(f"#   {what} ({package})" for what, package in SUPPLIED.items()),
        "",
    ]
    for pin in found.values():
        by = f"  # for {', '.join(pin.by)}" if pin.by else ""
        lines.append(f"{pin.name}=={pin.version} --hash=sha256:{pin.sha256}{by}")
    return "\n".join([*lines, ""])


def download(python: str) -> Path:
    """The wheels of the committed list, and nothing else; pip checks every hash."""
    house = HOUSE / python
    listed = requirements_file(python)
    HOUSE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{python}-", dir=HOUSE) as partial:
        folder = Path(partial)
        for wheel in house.glob("*.whl"):  # pip takes what is there and right
            shutil.copy(wheel, folder)
        _pip(python, folder, "--require-hashes", "-r", str(listed))
        needed = {(pin.name, pin.version) for pin in pins(python).values()}
        for wheel in folder.glob("*.whl"):
            name, version, *_ = parse_wheel_filename(wheel.name)
            if (name, str(version)) not in needed:
                wheel.unlink()
        wheels = {parse_wheel_filename(wheel.name)[0]: wheel for wheel in folder.glob("*.whl")}
        wrong = gaps(python, {name: requires(wheel) for name, wheel in wheels.items()})
        if wrong:
            sys.exit("wheelhouse: " + "; ".join(wrong) + "; write it anew with --lock")
        shutil.copy(listed, folder / "requirements.txt")
        folder.chmod(0o755)
        shutil.rmtree(house, ignore_errors=True)
        shutil.copytree(folder, house)
    return house


def install(python: str, wheels: Sequence[Path], folder: Path) -> None:
    """Unpacks wheels for aarch64 into a folder, whatever this machine is."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-index", "--target", str(folder), *_target(python)]
    if subprocess.run([*command, *map(str, wheels)]).returncode:
        sys.exit(f"wheelhouse: pip cannot unpack the wheels into {folder}")


def _newest(name: str, specifier: str, python: str, folder: Path) -> Path:
    """The newest wheel of a package that fits."""
    before = set(folder.glob("*.whl"))
    _pip(python, folder, f"{name}{specifier}")
    (wheel,) = set(folder.glob("*.whl")) - before
    print(f"  {wheel.name}", file=sys.stderr)
    return wheel


def _pip(python: str, folder: Path, *what: str) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--dest", str(folder), *_target(python)]
    if subprocess.run([*command, *what]).returncode:
        sys.exit(f"wheelhouse: pip cannot have {' '.join(what)} for Python {python} on aarch64")


def _target(python: str) -> Iterator[str]:
    """Options of pip for another machine."""
    yield from ("--only-binary=:all:", "--python-version", python, "--implementation", "cp")
    for minor in range(GLIBC.get(python, OTHER_GLIBC), 16, -1):
        yield from ("--platform", f"manylinux_2_{minor}_aarch64")
    yield from ("--platform", "manylinux2014_aarch64")


def main() -> None:
    """Downloads, or writes the lists."""
    arguments = sys.argv[1:]
    lock = "--lock" in arguments
    for python in [name for name in arguments if name != "--lock"] or GLIBC:
        if python not in GLIBC:
            sys.exit(f"wheelhouse: Python {python}: no JetPack has it; one of {', '.join(GLIBC)}")
        if lock:
            with tempfile.TemporaryDirectory() as folder:
                found = close(python, Path(folder))
            requirements_file(python).write_text(text(python, found))
            print(f"{requirements_file(python)}: {len(found)} packages")
        else:
            house = download(python)
            wheels = list(house.glob("*.whl"))
            size = sum(wheel.stat().st_size for wheel in wheels)
            print(f"{house}: {len(wheels)} wheels, {size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
