"""The probe answers on every machine, whatever it finds there."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from boards import stub
from dreamvla_edge.deploy import probe
from dreamvla_edge.deploy.facts import Facts, decode, facts_here
from dreamvla_edge.deploy.finding import Finding
from dreamvla_edge.deploy.findings import findings
from dreamvla_edge.deploy.jetpack import jetpack_of, known
from dreamvla_edge.runtime.errors import DeviceError
from patient import Patient

SOURCE = Path(probe.__file__)


def encoded(patient: Patient) -> bytes:
    """The document about a patient."""
    return msgspec.json.encode(probe.probe(("/tmp",), patient.tree.root))


def test_it_needs_python_3_8_and_nothing_else() -> None:
    tree = ast.parse(SOURCE.read_text(), feature_version=(3, 8))
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }
    assert imported <= {*sys.stdlib_module_names}
    newer = {
        "removeprefix",
        "removesuffix",
        "readlink",
        "is_relative_to",
        "hardlink_to",
        "pairwise",
    }
    of_path = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and not (isinstance(node.value, ast.Name) and node.value.id == "os")
    }
    assert not of_path & newer


def test_it_runs_from_a_pipe(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-", str(tmp_path)], input=SOURCE.read_bytes(), capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")
    facts = decode(done.stdout)
    assert [space.place for space in facts.disk or ()] == [str(tmp_path)]
    assert facts.memory is not None and facts.memory.total > 0


def test_a_broken_file_costs_its_own_fact_only(patient: Patient) -> None:
    """Each file in turn holds garbage, is a folder, or cannot be read."""
    whole = json.loads(encoded(patient))
    lost: dict[str, set[str]] = {}
    for file in sorted(path for path in patient.tree.root.rglob("*") if path.is_file()):
        name = str(file.relative_to(patient.tree.root))
        if name.startswith(("dev/", "sys/devices/system/cpu/cpu")) or file.is_symlink():
            continue
        content = file.read_bytes()
        for garbage in (b"\xff\xfe\x00 -1 {\n< POWER_MODEL ID=x", None):
            file.unlink(missing_ok=True)
            file.mkdir() if garbage is None else file.write_bytes(garbage)
            document = encoded(patient)
            facts = decode(document)
            assert all(isinstance(found, Finding) for found in findings(facts))
            found = json.loads(document)
            lost.setdefault(name, set()).update(
                fact for fact in whole if whole[fact] is not None and found[fact] is None
            )
            assert set(found["missing"]) == {f for f in found if found[f] is None}
            file.rmdir() if garbage is None else file.unlink()
        file.write_bytes(content)
    assert all(len(facts) <= 1 for facts in lost.values()), lost
    assert lost["proc/meminfo"] == {"memory"} and lost["etc/nv_tegra_release"] == {"l4t"}


def test_a_program_that_hangs_or_fails_is_no_error(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    (patient.tree.root / "var/lib/nvpmodel/status").unlink()
    stub(patient.programs, "nvpmodel", mode="25W", number=1)
    facts = decode(encoded(patient))
    assert facts.power is not None and facts.power.now is not None
    assert facts.power.now.name == "25W"
    program = patient.programs / "nvpmodel"
    program.write_text("#!/bin/sh\necho must be root >&2; exit 1\n")
    assert decode(encoded(patient)).missing["power"] == "nvpmodel failed: must be root"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(probe, "TIMEOUT_S", 0.2)
    assert "timed out" in decode(encoded(patient)).missing["power"]


CUDA = """
static int said(int *at, int value) { *at = value; return 0; }
int cuInit(unsigned flags) { return FAIL; }
int cuDeviceGet(int *device, int number) { return said(device, 7); }
int cuDriverGetVersion(int *version) { return said(version, 12060); }
int cuDeviceGetName(char *name, int room, int device)
    { return name[0] = 'O', name[1] = 'r', name[2] = 0, device != 7; }
int cuDeviceTotalMem_v2(unsigned long *bytes, int device) { return *bytes = 1ul << 33, 0; }
int cuDeviceGetAttribute(int *value, int which, int device)
    { return said(value, which == 16 || which == 75 ? 8 : which == 76 ? 7 : 0); }
"""


def test_cuda_is_asked_in_a_process_of_its_own(
    patient: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver that works, refuses, crashes and is not there; compiled here as libcuda.so.1."""
    patient.tree.link("dev/nvmap", patient.other)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    for fail, wanted in (
        ("0", ""),
        ("100", "error 100"),
        ("*(volatile int *)0", "failed"),
        (None, "cannot open shared object"),
    ):
        library = tmp_path / "libcuda.so.1"
        library.unlink(missing_ok=True)
        if fail is not None:
            command = ["cc", "-shared", "-fPIC", "-xc", "-", f"-DFAIL={fail}", "-o", library]
            subprocess.run(command, input=CUDA.encode(), check=True)
        gpu = decode(encoded(patient)).gpu
        assert gpu is not None and gpu.nodes == (str(patient.tree.root / "dev/nvmap"),)
        assert wanted in gpu.problem
        if fail == "0":
            assert gpu.cuda is not None
            assert (gpu.cuda.architecture, gpu.cuda.multiprocessors) == ("8.7", 8)
            assert (gpu.cuda.name, gpu.cuda.driver, gpu.cuda.bytes) == ("Or", "12.6", 2**33)
        else:
            assert gpu.cuda is None
            assert {f.name: f.level for f in findings(patient.facts(gpu=gpu))}["gpu"] == "error"


def test_a_document_of_somebody_else_is_refused() -> None:
    document = msgspec.json.encode(facts_here())
    assert isinstance(decode(document), Facts)
    for wrong, found in (
        (b"Welcome to Ubuntu\n" + document, "something else than facts"),
        (document.replace(b'"schema":1', b'"schema":2'), "schema 2"),
        (document.replace(b'"l4t":', b'"l4t_version":'), "l4t_version"),
        (b"", "something else than facts"),
    ):
        with pytest.raises(DeviceError, match=found):
            decode(wrong, "robot")


def test_l4t_versions_map_to_their_jetpack() -> None:
    """Pairs of NVIDIA's release notes, and what lies between and beyond them."""
    for l4t, jetpack in {
        "35.4.1": "5",
        "36.3.0": "6.0",
        "36.4.0": "6.1",
        "36.4.3": "6.2",
        "36.4.4": "6.2.1",
        "36.4.7": "6.2.1",
        "36.5.0": "6.2.2",
        "36.5.2": "6.2.3",
        "38.2.0": "7.0",
        "38.2.2": "7.0",
        "38.4.0": "7.1",
        "39.2.0": "7.2",
        "39.2.2": "7.2.2",
    }.items():
        release = jetpack_of(l4t)
        assert release is not None and release.version == jetpack
        assert known(l4t)
    assert jetpack_of("28.1") is None
    assert jetpack_of("40.1") is None and not known("40.1")


def test_a_name_that_is_no_text_does_not_spoil_the_document(patient: Patient) -> None:
    folder = os.fsencode(patient.tree.root / "dev/serial/by-id")
    os.symlink(b"../../ttyACM0", folder + b"/usb-\xff\xfe-if00")
    default = 'root: Path = Path("/")'
    source = SOURCE.read_text()
    patched = source.replace(default, f"root: Path = Path({str(patient.tree.root)!r})")
    assert patched != source
    done = subprocess.run([sys.executable, "-"], input=patched.encode(), capture_output=True)
    port = (decode(done.stdout).serial or ())[0]
    assert any("usb-??" in link for link in port.links)
