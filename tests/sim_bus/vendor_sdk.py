"""Drives an arm with a vendor's SDK: `python vendor_sdk.py SDK PORT` in that SDK's environment.

The same steps with each: ping servo 1, read the position of servo 2, write the goal of servo 3,
read all positions, write all goals. Prints what was read as one JSON document; fails if a step
does.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

BAUD = 1_000_000
SERVOS = range(1, 7)
GOAL_3 = 2100
GOALS = {servo: 2000 + servo for servo in SERVOS}
# The SDKs wait in busy loops with deadlines of some 10 ms, which a loaded machine misses.
PATIENT_MS = 5000


def good(result: tuple[Any, int, int]) -> Any:
    """The value, if communication and error byte are fine."""
    value, communication, error = result
    assert (communication, error) == (0, 0), result
    return value


def in_groups(reader: Any, writer: Any, position: int, size: int) -> dict[int, int]:
    """Reads all positions at once, then writes all goals; the groups are alike in three SDKs."""
    for servo, goal in GOALS.items():
        assert reader.addParam(servo)
        assert writer.addParam(servo, list(goal.to_bytes(size, "little")))
    assert reader.txRxPacket() == 0
    assert writer.txPacket() == 0
    return {servo: reader.getData(servo, position, size) for servo in SERVOS}


def feetech_servo_sdk(port_name: str) -> dict[str, Any]:
    """The unofficial SDK, which LeRobot uses."""
    import scservo_sdk as sdk

    port, packets = sdk.PortHandler(port_name), sdk.PacketHandler(0)
    assert port.openPort() and port.setBaudRate(BAUD)
    port.setPacketTimeout = lambda length: port.setPacketTimeoutMillis(PATIENT_MS)
    ping = good(packets.ping(port, 1))
    position = good(packets.read2ByteTxRx(port, 2, 56))
    good((None, *packets.write2ByteTxRx(port, 3, 42, GOAL_3)))
    reader = sdk.GroupSyncRead(port, packets, 56, 2)
    writer = sdk.GroupSyncWrite(port, packets, 42, 2)
    positions = in_groups(reader, writer, 56, 2)
    return {"ping": ping, "position": position, "positions": positions}


def ftservo_python_sdk(port_name: str) -> dict[str, Any]:
    """The official SDK, which has the same import name."""
    import scservo_sdk as sdk

    port = sdk.PortHandler(port_name)
    packets = sdk.sms_sts(port)
    assert port.openPort() and port.setBaudRate(BAUD)
    port.setPacketTimeout = lambda length: port.setPacketTimeoutMillis(PATIENT_MS)
    ping = good(packets.ping(1))
    position = good(packets.ReadPos(2))
    good((None, *packets.write2ByteTxRx(3, 42, GOAL_3)))
    reader = sdk.GroupSyncRead(packets, 56, 2)
    writer = sdk.GroupSyncWrite(packets, 42, 2)
    positions = in_groups(reader, writer, 56, 2)
    return {"ping": ping, "position": position, "positions": positions}


def dynamixel_sdk(port_name: str) -> dict[str, Any]:
    """ROBOTIS's SDK."""
    import dynamixel_sdk as sdk

    port, packets = sdk.PortHandler(port_name), sdk.PacketHandler(2.0)
    assert port.openPort() and port.setBaudRate(BAUD)
    port.setPacketTimeout = lambda length: port.setPacketTimeoutMillis(PATIENT_MS)
    ping = good(packets.ping(port, 1))
    position = good(packets.read4ByteTxRx(port, 2, 132))
    good((None, *packets.write4ByteTxRx(port, 3, 116, GOAL_3)))
    reader = sdk.GroupSyncRead(port, packets, 132, 4)
    writer = sdk.GroupSyncWrite(port, packets, 116, 4)
    positions = in_groups(reader, writer, 132, 4)
    return {"ping": ping, "position": position, "positions": positions}


def rustypot(port_name: str, controller: str) -> dict[str, Any]:
    """Pollen Robotics' library in Rust."""
    import rustypot

    bus = getattr(rustypot, controller)(port_name, BAUD, PATIENT_MS / 1000)
    ping = bus.ping(1)
    position = bus.read_raw_present_position(2)
    bus.write_raw_goal_position(3, GOAL_3)
    positions = bus.sync_read_raw_present_position(list(SERVOS))
    bus.sync_write_raw_goal_position(list(GOALS), list(GOALS.values()))
    single = position[0] if isinstance(position, list) else position
    return {
        "ping": ping,
        "position": single,
        "positions": dict(zip(SERVOS, positions, strict=True)),
    }


SDKS: dict[str, Callable[[str], dict[str, Any]]] = {
    "feetech-servo-sdk": feetech_servo_sdk,
    "ftservo-python-sdk": ftservo_python_sdk,
    "dynamixel-sdk": dynamixel_sdk,
    "rustypot-sts": lambda port: rustypot(port, "Sts3215PyController"),
    "rustypot-xl": lambda port: rustypot(port, "Xl330PyController"),
}

if __name__ == "__main__":
    print(json.dumps(SDKS[sys.argv[1]](sys.argv[2])))
