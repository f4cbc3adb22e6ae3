"""What is planted is found, with a cure; when it is cured, nothing is left of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from commands import small_disk
from doctor.causes import CASES, Case
from dreamvla_edge.cli.command import COMMANDS
from dreamvla_edge.deploy.facts import Clock, Facts, Gpu, Python, Scheduling, User, decode
from dreamvla_edge.deploy.finding import Finding
from dreamvla_edge.deploy.findings import findings
from dreamvla_edge.deploy.probe import probe
from patient import Patient


def bad(found: dict[str, Finding]) -> dict[str, str]:
    """Names and levels of what is not well."""
    return {name: finding.level for name, finding in found.items() if finding.level != "ok"}


@pytest.mark.parametrize("patient", ["jetpack6", "jetpack7"], indirect=True)
def test_a_healthy_board_has_no_finding(patient: Patient) -> None:
    found = patient.findings()
    assert bad(found) == {}
    assert (
        found["power"].found
        == {
            "jetpack6": "MAXN_SUPER (mode 2)",
            "jetpack7": "MAXN (mode 0)",
        }["jetpack6" if "Nano" in patient.kind.model else "jetpack7"]
    )
    assert found["tensorrt"].found == f"TensorRT {patient.kind.tensorrt}"
    assert found["cuda"].found == f"CUDA {patient.kind.cuda}, cuDNN {patient.kind.cudnn}"


@pytest.mark.parametrize("patient", ["jetpack5"], indirect=True)
def test_a_board_before_orin_is_refused(patient: Patient) -> None:
    found = bad(patient.findings())
    assert {name for name, level in found.items() if level == "error"} == {
        "board",
        "jetpack",
        "python",
        "tensorrt",
    }


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name}: {case.says}")
def test_a_cause_is_found_and_disappears_when_cured(patient: Patient, case: Case) -> None:
    case.plant(patient)
    found = patient.findings()
    assert bad(found).get(case.name) == case.level
    finding = found[case.name]
    assert case.says in f"{finding.found} {finding.cure}"
    assert finding.expected and finding.cure and finding.verbs
    case.cure(patient)
    assert case.name not in bad(patient.findings())


def replaced(patient: Patient, **instead: object) -> dict[str, str]:
    """What is not well with some facts changed."""
    return bad(patient.findings(**instead))


def test_facts_of_this_process_make_findings_too(patient: Patient) -> None:
    """Those that no tree of files can plant: each beside the value that is well."""
    assert replaced(patient, python=Python("3.9.2", "", True)) == {"python": "error"}
    assert replaced(patient, python=Python("3.12.1", "", True)) == {"python": "warning"}
    assert replaced(patient, python=Python("3.10.1", "", False)) == {"venv": "error"}
    assert replaced(patient, clock=Clock(1_700_000_000.0, True)) == {"clock": "error"}
    assert replaced(patient, gpu=Gpu(("/dev/nvmap",), False, None, "")) == {"gpu": "error"}
    assert replaced(patient, gpu=None) == {"gpu": "warning"}
    user = User(False, ("robot",), ())
    limited = Scheduling(True, 50, 8_388_608)
    assert replaced(patient, user=user, scheduling=limited) == {"scheduling": "warning"}
    facts = patient.facts()
    assert facts.packages is not None and facts.system is not None
    without = {k: v for k, v in facts.packages.items() if k not in ("tokenizers", "cuda-bindings")}
    assert replaced(patient, packages=without) == {"packages": "error", "extra jetson": "warning"}
    wrong = {**facts.packages, "cuda-bindings": "13.4.4"}
    assert replaced(patient, packages=wrong) == {"cuda-bindings": "error"}
    narrow = msgspec.structs.replace(facts.system, machine="armv7l", bits=32)
    assert replaced(patient, system=narrow) == {"system": "error"}


def test_a_full_disk_is_found(patient: Patient, tmp_path: Path) -> None:
    folder = tmp_path / "full"
    folder.mkdir()
    assert "disk" not in bad(patient.findings())
    with small_disk(folder) as (disk, _):
        facts = decode(msgspec.json.encode(probe((str(disk / "not" / "yet"),))))
    space = (facts.disk or ())[0]
    if os.getuid() != 0:  # who may not mount a disk has a disk with room
        space = msgspec.structs.replace(space, free=8_000_000, total=8_000_000)
    assert space.total < 9_000_000
    assert bad(patient.findings(disk=(space,))) == {"disk": "error"}


def test_the_program_that_holds_a_device_is_named(patient: Patient) -> None:
    holding = (
        "import sys, time; files = [open(name) for name in sys.argv[1:]]; print(); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holding, patient.arm, patient.wrist],
        stdout=subprocess.PIPE,
        cwd="/",
    ) as holder:
        try:
            assert holder.stdout is not None
            holder.stdout.readline()
            found = patient.findings()
        finally:
            holder.send_signal(signal.SIGKILL)
    assert bad(found) == {"serial ttyACM0": "warning", "camera video2": "warning"}
    assert f"used by process {holder.pid} (python -c" in found["serial ttyACM0"].found
    assert bad(patient.findings()) == {}


@pytest.mark.parametrize(
    ("program", "name", "plant"),
    [
        ("ModemManager", "serial ttyACM0", "hold"),
        ("nvargus-daemon", "argus", "camera"),
        ("brltty", "adapter 1a86:7523", "adapter"),
    ],
)
def test_programs_that_matter_are_known(
    patient: Patient, tmp_path: Path, program: str, name: str, plant: str
) -> None:
    copy = shutil.copy(shutil.which("tail") or "", tmp_path / program)
    if plant == "camera":
        patient.tree.camera(4, patient.other, "2-4", "vi-output, imx219 9-0010", "tegra-camrtc")
        assert bad(patient.findings())["argus"] == "error"
    if plant == "adapter":
        patient.tree.usb("1-3", "1a86", "7523", "USB Serial", "usbfs")
        assert "brltty" not in patient.findings()[name].found
    with subprocess.Popen([copy, "-f", patient.arm], cwd="/") as running:
        try:
            waited = subprocess.run(
                [
                    "sh",
                    "-c",
                    f"until ls -l /proc/{running.pid}/fd | grep -q {patient.arm}; do :; done",
                ],
                timeout=120,
            )
            assert waited.returncode == 0
            found = patient.findings()
        finally:
            running.kill()
    if plant == "hold":
        assert bad(found) == {name: "error"}
        assert found[name].cure == "sudo systemctl disable --now ModemManager"
        assert bad(patient.findings()) == {}
    elif plant == "camera":
        assert "argus" not in found
    else:
        assert "brltty takes it" in found[name].found


def as_nobody(patient: Patient) -> Facts:
    """What the probe finds for a user without any rights."""
    code = (
        "import json, pathlib, sys; source = sys.stdin.read(); space = {'__name__': 'probe'};"
        " exec(compile(source, 'probe', 'exec'), space);"
        f" print(json.dumps(space['probe'](('/tmp',), pathlib.Path({str(patient.tree.root)!r}))))"
    )
    options = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
    source = Path(probe.__code__.co_filename).read_bytes()
    done = subprocess.run(
        ["/usr/bin/env", "python3", "-c", code], input=source, capture_output=True, **options
    )
    assert done.returncode == 0, done.stderr.decode()
    return decode(done.stdout)


def test_a_user_without_rights_is_told_which(patient: Patient) -> None:
    """As nobody: the port and the camera belong to root, and SCHED_FIFO is refused."""
    for folder in (patient.tree.root, *patient.tree.root.parents):
        if folder.stat().st_uid == os.getuid() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
    for device in (patient.arm, patient.wrist):
        device.chmod(0o600)
    facts = as_nobody(patient)
    found = {finding.name: finding for finding in findings(facts)}
    if os.getuid() == 0:
        refused = found["serial ttyACM0"]
        assert refused.level == "error" and "may not open" in refused.found
        assert found["camera video2"].level == "error"
    assert found["scheduling"].level == "warning"
    assert "SCHED_FIFO" in found["scheduling"].found
    for device in (patient.arm, patient.wrist):
        device.chmod(0o666)
    cured = {finding.name: finding for finding in findings(as_nobody(patient))}
    assert cured["serial ttyACM0"].level == cured["camera video2"].level == "ok"


def test_a_login_older_than_its_group_is_told_to_log_in_again(patient: Patient) -> None:
    facts = patient.facts()
    assert facts.serial is not None
    port = msgspec.structs.replace(facts.serial[0], usable=False, group="dialout", mode="660")
    outside, late = User(False, (), ()), User(False, (), ("dialout",))
    told = patient.findings(serial=(port,), user=outside)["serial ttyACM0"]
    assert told.cure == "sudo usermod -aG dialout $USER, then log in again"
    told = patient.findings(serial=(port,), user=late)["serial ttyACM0"]
    assert told.cure.startswith("log out and in again")
    port = msgspec.structs.replace(port, group="root")
    assert "udev" in patient.findings(serial=(port,), user=outside)["serial ttyACM0"].cure


def test_findings_name_commands_that_there_are(patient: Patient) -> None:
    facts = patient.facts(gpu=None, packages={"dreamvla-edge": "0.1.0"}, l4t=None, board=None)
    for finding in (*findings(facts), *patient.findings().values()):
        assert set(finding.verbs) <= {*COMMANDS}, finding
