"""The fault table: what can fail, in which way, and where the arm then has to end."""

from __future__ import annotations

import signal
from collections.abc import Mapping

from dreamvla_edge.runtime.guardian.message import Order
from guardian.cell import Cell, End
from guardian.faults import (
    ELBOW,
    STATUS,
    TEMPERATURE,
    VOLTAGE,
    Fault,
    beside,
    bus,
    clears_too_soon,
    drive_away,
    host,
    loose_plug,
    pause_once,
    policy,
    press,
    send_noise,
    send_signal,
    starve,
    strangers,
    unplugged,
)
from guardian.rig import PERIOD_S

FRAME_S, STOP_S = 1 / 30, 0.1
_HELD: tuple[End, ...] = ("held",)
_LATCHED: tuple[End, ...] = ("held, latched",)
_BY_SERVOS: tuple[End, ...] = ("held by the servos",)
_LOWERED: tuple[End, ...] = ("lowered",)
_LIMP: tuple[End, ...] = ("limp",)
_GOES_ON: tuple[End, ...] = ("goes on",)
_EITHER: tuple[End, ...] = ("goes on", "held, latched")

DEAD_S = 0.2
STALL_S = 2.0
BLIND_S = 3 * FRAME_S + STOP_S
OVERLOAD_S = 3 * PERIOD_S  # two cycles, and the part of one in which the bit appears
_JITTERY = ((Order.STOP, 0.03), (Order.CLEAR, 0.03))


def _dead(done: str, fault: Fault) -> Cell:
    """No reading can be believed any more."""
    return Cell(done, fault, _LATCHED, DEAD_S, DEAD_S)


def _blocked(done: str, target: object) -> Cell:
    """The servos' own protection may act as well: only their power ends that."""
    fault, cycled = bus(f"fault {target} stuck"), str(target)
    return Cell(done, fault, _LATCHED, STALL_S, STALL_S, watched_s=STALL_S, cycled=cycled)


def _harmless(done: str, fault: Fault, watched_s: float = 1.0) -> Cell:
    return Cell(done, fault, _GOES_ON, watched_s=watched_s)


def _unclear(done: str, fault: Fault) -> Cell:
    """What the arm does, and when, depends on what comes through; both ends are safe."""
    return Cell(done, fault, _EITHER, watched_s=1.5)


def _set(register: int, value: int, *mend: str) -> Fault:
    return bus(f"set {ELBOW} {register} {value}", mend=mend)


def _eye(done: str, word: str) -> Cell:
    return Cell(done, policy(word), _HELD, BLIND_S, BLIND_S)


_SERVO: dict[str, Cell] = {
    "off": _dead("one servo loses its power", bus(f"fault {ELBOW} off")),
    "stuck": _blocked("one servo does not turn and presses", ELBOW),
    "garbage": _unclear(
        "noise in or around the answers of one servo", bus(f"fault {ELBOW} garbage")
    ),
    "wrong": _unclear("one servo answers valid but wrong packets", bus(f"fault {ELBOW} wrong")),
    "slow": _harmless("one servo keeps a tenth of its speed", bus(f"fault {ELBOW} slow 0.1")),
    "delayed": _unclear("one servo answers 100 ms late", bus(f"fault {ELBOW} delayed")),
    "intermittent": _harmless(
        "one servo answers half of the questions", bus(f"fault {ELBOW} intermittent")
    ),
    "overload bit": Cell(
        "one servo reports an overload",
        _set(STATUS, 32, f"set {ELBOW} {STATUS} 0"),
        _LATCHED,
        OVERLOAD_S + STOP_S,
        OVERLOAD_S,
    ),
    "overheated": Cell(
        "one servo is too hot",
        _set(TEMPERATURE, 68, f"fault {ELBOW} off"),
        _LOWERED,
        decided_s=5.0,
        watched_s=5.0,
    ),
    "under-voltage": Cell(
        "the supply of one servo is too low",
        _set(VOLTAGE, 45, f"fault {ELBOW} off"),
        _LOWERED,
        decided_s=5.0,
        watched_s=5.0,
    ),
}
_BUS: dict[str, Cell] = {
    "off": Cell("all servos lose their power", bus("fault bus off"), _LIMP, None, DEAD_S),
    "stuck": _blocked("no servo turns, all press", "bus"),
    "garbage": _unclear("noise in or around all answers", bus("fault bus garbage")),
    "wrong": _unclear("all answers are valid but wrong", bus("fault bus wrong")),
    # Some answers come in time at first: what counts is the last that was believed.
    "slow": Cell("a tenth of the baud rate", bus("fault bus slow"), _LATCHED, 0.3, 0.3),
    "delayed": _dead("all answers come 100 ms late", bus("fault bus delayed")),
    "intermittent": _harmless("a tenth of all answers is lost", bus("fault bus intermittent 0.1")),
}
_CABLE: dict[str, Cell] = {
    "off": _dead("the USB cable is pulled", unplugged),
    "stuck": _dead("the adapter passes nothing back", bus("fault bus delayed 60")),
    "garbage": _harmless("noise in a tenth of all answers", bus("fault bus garbage 0.1")),
    "wrong": _harmless(
        "errors that keep the sum in a tenth of all answers", bus("fault bus wrong-sum 0.1")
    ),
    "slow": _harmless("the adapter is 2 ms slower", bus("fault bus delayed 0.002")),
    "delayed": _dead("the adapter is 30 ms slower", bus("fault bus delayed 0.03")),
    "intermittent": _dead("the plug is out for 50 ms", loose_plug),
}
_CAMERA: dict[str, Cell] = {
    "off": _eye("the wrist camera is unplugged", "off"),
    "stuck": _eye("frozen: new stamps on the same picture", "stuck"),
    "garbage": _eye("random pixels", "garbage"),
    "wrong": _eye("a quarter of the size", "wrong"),
    "slow": _eye("one of eight frames", "slow"),
    "delayed": _eye("pictures of sixteen frames ago", "delayed"),
    "intermittent": _harmless("gaps of up to ten frames", policy("intermittent"), 1.5),
}
_POLICY: dict[str, Cell] = {
    "off": Cell("killed", send_signal(signal.SIGKILL, "policy"), _HELD, STOP_S, STOP_S),
    "stuck": Cell(
        "hung (SIGSTOP)",
        send_signal(signal.SIGSTOP, "policy"),
        _HELD,
        STOP_S,
        STOP_S,
        from_waypoints=True,
    ),
    "garbage": Cell(
        "random bytes, NaN and infinite goals",
        policy("garbage"),
        _HELD,
        STOP_S,
        STOP_S,
        from_waypoints=True,
    ),
    "wrong": Cell(
        "goals far outside all limits; the arm may run into its support",
        policy("wrong"),
        _EITHER,
        watched_s=1.5,
    ),
    "slow": _harmless("one of twelve chunks: stops and goes", policy("slow")),
    "delayed": Cell(
        "stale chunks, half a second old",
        policy("delayed"),
        _HELD,
        STOP_S,
        STOP_S,
        from_waypoints=True,
    ),
    "intermittent": _harmless("half of its chunks", policy("intermittent")),
}
_GUARDIAN: dict[str, Cell] = {
    "off": Cell("killed (SIGKILL)", send_signal(signal.SIGKILL, "guardian"), _BY_SERVOS, STOP_S),
    "stuck": Cell("hung (SIGSTOP)", send_signal(signal.SIGSTOP, "guardian"), _BY_SERVOS, STOP_S),
    "garbage": _harmless("others flood its socket with noise", beside(strangers(send_noise))),
    "wrong": _harmless("others want to drive as well", beside(strangers(drive_away))),
    "slow": _harmless("stopped half of the time, up to 30 ms", beside(starve(0.03, 0.5))),
    "delayed": _harmless("stopped once, for 300 ms", beside(pause_once)),
    "intermittent": _harmless("stopped at times, up to 100 ms", beside(starve(0.1, 0.2))),
}
_HOST: dict[str, Cell | str] = {
    "off": Cell(
        "guardian and policy are killed at once",
        send_signal(signal.SIGKILL, "guardian", "policy"),
        _BY_SERVOS,
        STOP_S,
    ),
    "stuck": Cell(
        "guardian and policy hang",
        send_signal(signal.SIGSTOP, "guardian", "policy"),
        _BY_SERVOS,
        STOP_S,
    ),
    "garbage": "means nothing: a load has no content",
    "wrong": "means nothing: a load has no content",
    "slow": _harmless("two busy processes per core", host()),
    "delayed": _harmless("the same, and the policy gives way to all", host(nice=True)),
    "intermittent": _harmless("busy processes in bursts of 100 ms", host(bursts=True)),
}
_OPERATOR: dict[str, Cell] = {
    "off": Cell(
        "the terminal closes (SIGHUP)", send_signal(signal.SIGHUP, "policy"), _HELD, STOP_S, STOP_S
    ),
    "stuck": Cell(
        "leans on the stop key", press(*[(Order.STOP, 0.01)] * 40), _LATCHED, STOP_S, STOP_S
    ),
    "garbage": _harmless("sends noise with a program of theirs", beside(strangers(send_noise))),
    "wrong": _harmless("clears what is no fault", press(*[(Order.CLEAR, 0.05)] * 3)),
    "slow": Cell(
        "stops, and clears only later",
        press((Order.STOP, 0.0)),
        _LATCHED,
        STOP_S,
        STOP_S,
        watched_s=1.5,
    ),
    "delayed": Cell(
        "clears before the cause is gone", clears_too_soon, _LATCHED, DEAD_S, DEAD_S, watched_s=1.5
    ),
    "intermittent": Cell(
        "stops and clears in turn, at last stops",
        press(*_JITTERY * 5, (Order.STOP, 0.0)),
        _LATCHED,
        1.0,
    ),
}
TABLE: Mapping[str, Mapping[str, Cell | str]] = {
    "servo": _SERVO,
    "bus": _BUS,
    "cable": _CABLE,
    "camera": _CAMERA,
    "policy": _POLICY,
    "guardian": _GUARDIAN,
    "host load": _HOST,
    "operator": _OPERATOR,
}
"""What fails -> how -> what then happens, or why that means nothing."""
CELLS: Mapping[tuple[str, str], Cell] = {
    (part, word): cell
    for part, row in TABLE.items()
    for word, cell in row.items()
    if isinstance(cell, Cell)
}
