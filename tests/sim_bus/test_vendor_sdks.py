"""Vendors' SDKs drive the virtual arms in processes of their own, and send what our codecs send."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

import pytest

from dreamvla_edge.runtime.arms import dynamixel as dynamixel_codec
from dreamvla_edge.runtime.arms import feetech as feetech_codec
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.sim.bus_process import BusProcess
from dreamvla_edge.sim.virtual_arm import start_positions
from sim_bus.vendor_sdk import GOAL_3, GOALS, SDKS, SERVOS
from sim_bus.wire import client, dynamixel, feetech

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("vendor_sdk.py")
# SDK, its environment, the arm.
CASES = [
    ("feetech-servo-sdk", "feetech-servo-sdk", "so101"),
    ("ftservo-python-sdk", "ftservo-python-sdk", "so101"),
    ("rustypot-sts", "rustypot", "so101"),
    ("dynamixel-sdk", "dynamixel-sdk", "koch"),
    ("rustypot-xl", "rustypot", "koch"),
]


@pytest.fixture(scope="module")
def environments() -> Path:
    """One folder for each SDK, made if it is not there."""
    subprocess.run([ROOT / "tools" / "vendor_sdks.sh"], check=True, timeout=600)
    return ROOT / ".venv-sdk"


def test_no_sdk_is_forgotten() -> None:
    """Every row of the script is a case here."""
    assert {sdk for sdk, _, _ in CASES} == set(SDKS)


@pytest.mark.parametrize(("sdk", "environment", "arm"), CASES)
def test_an_sdk_and_our_codec_say_the_same(
    environments: Path, tmp_path: Path, sdk: str, environment: str, arm: str
) -> None:
    """What the SDK reads is where the servos are; its bytes are ours; its goals arrive."""
    description = load_description(arm)
    is_feetech = description.protocol == "feetech"
    with BusProcess(arm, log=tmp_path / "log") as bus:
        python = environments / environment / "bin" / "python"
        done = subprocess.run(
            [python, SCRIPT, sdk, bus.port], capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr
        sent = b"".join(received(tmp_path / "log"))
        for servo, goal in GOALS.items():
            with client(bus.port) as host:
                if is_feetech:
                    answer = host.ask(feetech(servo, 2, b"\x2a\x02"), 8)[5:7]
                else:
                    answer = host.ask(dynamixel(servo, 2, b"\x74\0\x04\0"), 15)[9:13]
            assert int.from_bytes(answer, "little") == goal
    found = json.loads(done.stdout)
    positions = start_positions(description)
    assert found["positions"] == {str(servo): positions[servo] for servo in SERVOS}
    assert found["position"] == positions[2]
    assert found["ping"] in (True, description.models[1])

    codec: ModuleType = feetech_codec if is_feetech else dynamixel_codec
    present, goal, size = (56, 42, 2) if is_feetech else (132, 116, 4)
    asks_for_model = sdk in ("feetech-servo-sdk", "ftservo-python-sdk")
    assert sent == b"".join(
        [
            codec.ping(1),
            codec.read(1, 3, 2) if asks_for_model else b"",
            codec.read(2, present, size),
            codec.write(3, goal, GOAL_3.to_bytes(size, "little")),
            codec.sync_read(list(SERVOS), present, size),
            codec.sync_write(goal, {s: g.to_bytes(size, "little") for s, g in GOALS.items()}),
        ]
    )


def received(log: Path) -> Iterable[bytes]:
    """What the host sent."""
    for line in map(json.loads, log.read_text().splitlines()):
        if "rx" in line:
            yield bytes.fromhex(line["rx"])
