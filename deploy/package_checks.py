"""What Python has of ours, for which command, and what flash has installed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dreamvla_edge.deploy.board_checks import is_jetson
from dreamvla_edge.deploy.facts import Facts
from dreamvla_edge.deploy.finding import Finding

BASE = ("click", "msgspec", "numpy", "onnxruntime", "pillow", "pyserial", "tokenizers")
EXTRAS = {
    "export": (("torch", "onnx", "onnxscript", "safetensors"), ("export", "train")),
    "sim": (("mujoco",), ("demo", "eval")),
    "calibrate": (("h5py", "onnx", "pyarrow", "av"), ("quantize", "train")),
    "camera": (("opencv-python-headless",), ("camera",)),
    "record": (("pyarrow", "av"), ("record",)),
    "jetson": (("cuda-bindings", "onnx"), ("build", "run")),
}
"""Extra → its packages, and the commands that want it (the table of pyproject.toml)."""
_ON_BOARD = ("camera", "record", "jetson")


def packages(facts: Facts) -> Iterator[Finding]:
    """Of the Python that was asked; nothing where dreamvla-edge is not installed."""
    have = facts.packages or {}
    mine = have.get("dreamvla-edge")
    if mine is None:
        if not facts.releases:
            yield Finding("dreamvla-edge", "ok", "not installed yet", verbs=("run",))
        return
    lacking = [name for name in BASE if name not in have]
    if lacking:
        yield Finding(
            "packages",
            "error",
            f"dreamvla-edge {mine} without {', '.join(lacking)}",
            "everything that it needs",
            "pip install --force-reinstall dreamvla-edge",
            ("run",),
        )
    else:
        versions = ", ".join(f"{name} {have[name]}" for name in ("onnxruntime", "numpy"))
        yield Finding("packages", "ok", f"dreamvla-edge {mine}, {versions}", verbs=("run",))
    for extra, (names, verbs) in EXTRAS.items():
        if is_jetson(facts) != (extra == "jetson") and not (
            is_jetson(facts) and extra in _ON_BOARD
        ):
            continue
        lacking = [name for name in names if name not in have]
        if lacking:
            yield Finding(
                f"extra {extra}",
                "warning",
                f"without {', '.join(lacking)}",
                f"the packages of the extra [{extra}]",
                f"pip install 'dreamvla-edge[{extra}]'",
                verbs,
            )
        else:
            found = ", ".join(f"{name} {have[name]}" for name in names)
            yield Finding(f"extra {extra}", "ok", found, verbs=verbs)
    yield from _bindings(have, facts)


def releases(facts: Facts) -> Iterator[Finding]:
    """What `current` leads to under each name."""
    for release in facts.releases or ():
        name = f"release {release.name}"
        if release.current is None:
            yield Finding(
                name,
                "error",
                f"{release.place}/current leads nowhere",
                f"one of {', '.join(release.releases) or 'no release at all'}",
                "flash again, or `dreamvla rollback`",
                ("run",),
            )
        elif release.made and release.python not in release.made:
            now = f"is Python {release.python} now" if release.python else "cannot be run"
            yield Finding(
                name,
                "error",
                f"{release.current} was installed for Python {release.made[0]}, and its"
                f" {release.place}/current/venv/bin/python {now}",
                "the Python that it was installed for",
                "flash the bundle again",
                ("run",),
            )
        else:
            version = release.packages.get("dreamvla-edge", "unknown")
            count = len(release.releases)
            yield Finding(
                name,
                "ok",
                f"{release.current}, dreamvla-edge {version},"
                f" {count} release{'' if count == 1 else 's'} kept",
                verbs=("run",),
            )
            yield from _bindings(release.packages, facts)


def _bindings(have: Mapping[str, str], facts: Facts) -> Iterator[Finding]:
    """NVIDIA's support policy for them: version N is for CUDA N, of the driver."""
    version, cuda = have.get("cuda-bindings"), "" if facts.cuda is None else facts.cuda.version
    if facts.gpu is not None and facts.gpu.cuda is not None:
        cuda = facts.gpu.cuda.driver
    if version is None or not cuda:
        return
    major = cuda.partition(".")[0]
    if version.partition(".")[0] != major:
        yield Finding(
            "cuda-bindings",
            "error",
            f"cuda-bindings {version} with CUDA {cuda}",
            f"cuda-bindings {major}",
            f"pip install 'cuda-bindings=={major}.*'",
            ("build", "profile", "run"),
        )
