"""Puts a bundle on a device as a release that is checked there before anything relies on it.

Every step may be cut off at any point and given again. What is in force changes in one step, and
only after the device itself has verified the new release; from then on the device goes back by
itself if its service is not well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dreamvla_edge.runtime import motion
from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.arms.kinematics import chain_of
from dreamvla_edge.runtime.bundle import Bundle
from dreamvla_edge.runtime.errors import ArmError, DeviceError

from .connection import Connection
from .device.service import DROP_IN_FILE, UNIT_FILE
from .device.unit import drop_in_text, unit_text
from .facts import Facts
from .finding import Finding
from .parcel import Parcel, pack
from .preflight import facts_of, preflight, require

GATE_ARMS = ("so101", "koch")
"""Virtual arms for the latency gate; the first that a bundle can move."""
_GATE_S = 3.0


@dataclass(frozen=True)
class Wish:
    """What is flashed, and how.

    name: of the robot; user: for this user alone, without root; tool: wheel of dreamvla-edge;
    wheelhouse: folder of wheels that go along; offline: nothing else is installed from; budget_ms:
    of 95 % of the policy's steps, None for no gate; stop_arm: a policy that drives is brought to
    hold; power_mode: that the device must be in; service_user: who the service runs as, empty for
    who logs in; password: for sudo, empty where it asks for none.
    """

    bundle: Bundle
    tool: Path
    name: str = "arm"
    user: bool = False
    wheelhouse: Path | None = None
    offline: bool = False
    budget_ms: float | None = None
    stop_arm: bool = False
    power_mode: str = ""
    service_user: str = ""
    password: str = ""


@dataclass(frozen=True)
class Plan:
    """What a flash of one device would do.

    unchanged: this release is in force and well; privileged: every line that is run as root.
    """

    host: str
    parcel: Parcel
    findings: tuple[Finding, ...]
    facts: Facts
    login: str
    current: str | None
    unchanged: bool
    privileged: tuple[str, ...]
    base: str
    robot: str
    has_robot: bool


@dataclass(frozen=True)
class Outcome:
    """What became of it.

    sent_bytes: that were not there already; backend: what runs the graphs; notes: for people.
    """

    plan: Plan
    changed: bool
    sent_bytes: int = 0
    backend: str = ""
    gate: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def plan(connection: Connection, wish: Wish) -> Plan:
    """Looks at a device and changes nothing. Raises DeviceError if it cannot be reached."""
    hello = connection.ask("hello", name=wish.name, user=wish.user, ask_sudo=wish.password)
    facts = facts_of(connection, str(hello["base"]))
    login, owner = str(hello["user"]), _owner(wish, hello)
    texts = {UNIT_FILE: unit_text(wish.user), DROP_IN_FILE: drop_in_text(owner)}
    parcel = pack(wish.bundle, wish.tool, wish.wheelhouse, str(hello["python"]), texts)
    state = connection.ask("state")
    service = state["service"]
    well = service is not None and not service.get("error") and _runs(service) == parcel.release
    unchanged = well and state["current"] == parcel.release and not state["unfinished"]
    lines = {"owner": login, "release": parcel.release}
    privileged = tuple(connection.ask("privileged", **lines)["commands"])
    # An unchanged release needs no rights, and a look at them may cost a password.
    refused = connection.ask("permitted", **lines)["refused"] if not unchanged else None
    may_move = wish.stop_arm or unchanged
    found = preflight(facts, hello, state, parcel, wish.power_mode, may_move, refused)
    return Plan(
        host=connection.host,
        parcel=parcel,
        findings=found,
        facts=facts,
        login=login,
        current=state["current"],
        unchanged=unchanged,
        privileged=privileged,
        base=str(hello["base"]),
        robot=str(hello["robot"]),
        has_robot=bool(hello["has_robot"]),
    )


def flash(
    connection: Connection, wish: Wish, made: Plan, progress: Callable[[str], None]
) -> Outcome:
    """Carries a plan out. Raises DeviceError; then what was in force before still is."""
    require(made.findings)
    if made.unchanged:
        return Outcome(made, changed=False)
    arm = None if wish.budget_ms is None else gate_arm(wish.bundle)
    release, notes = made.parcel.release, []
    connection.ask("prepare", owner=made.login)
    connection.ask("still", stop_arm=wish.stop_arm)
    settled = connection.ask("settle")["settled"]
    if settled:
        notes.append(str(settled))
    sent = _send(connection, wish, made, progress)
    connection.ask(
        "lay_out",
        release=release,
        files=dict(made.parcel.hashes),
        texts=dict(made.parcel.texts),
        facts={"tool": made.parcel.version, "bundle": wish.bundle.manifest.name},
    )
    progress("making the virtual environment")
    tensorrt = made.facts.tensorrt is not None and made.facts.tensorrt.binding is not None
    extra = "jetson" if tensorrt else ""
    connection.ask("environment", release=release, offline=wish.offline, extra=extra)
    progress("building engines" if tensorrt else "no TensorRT: ONNX Runtime runs the graphs")
    power = made.facts.power
    mode = "" if power is None or power.now is None else power.now.name
    backend = str(connection.ask("backend", release=release, power_mode=mode)["backend"])
    progress("verifying on the device")
    connection.ask("verify", release=release, backend=backend)
    gate: dict[str, Any] = {}
    if arm is not None:
        progress("timing the policy on a virtual arm")
        wanted = {"budget_ms": wish.budget_ms, "arm": arm, "seconds": _GATE_S}
        gate = connection.ask("gate", release=release, backend=backend, **wanted)
    connection.ask("motion", release=release, stop_arm=wish.stop_arm)
    progress("switching")
    connection.ask("activate", release=release)
    connection.ask("prune")
    if not made.has_robot:
        notes.append(
            f"there is no {made.robot} yet: make it on the device with"
            f" {made.base}/current/venv/bin/dreamvla robot init -o {made.robot}"
        )
    if wish.user:
        notes.append("to start it without a login: loginctl enable-linger, on the device")
    return Outcome(made, True, sent, backend, gate, tuple(notes))


def gate_arm(bundle: Bundle) -> str:
    """A virtual arm that the bundle's actions can move. Raises DeviceError if there is none."""
    for name in GATE_ARMS:
        try:
            motion.require_fit(bundle.manifest.specification, chain_of(load_description(name)))
        except ArmError:
            continue
        return name
    raise DeviceError(
        f"the actions of {bundle.path} fit neither {' nor '.join(GATE_ARMS)}",
        "a bundle for an arm that ships, which can be simulated for --budget-ms",
        "leave --budget-ms out and time it with `dreamvla run --shadow` on the device",
    )


def _send(connection: Connection, wish: Wish, made: Plan, progress: Callable[[str], None]) -> int:
    """Sends what the device has not; how many bytes."""
    hashes = made.parcel.hashes
    missing = connection.ask("missing", hashes=sorted(set(hashes.values())))["missing"]
    sources = {hashes[path]: source for path, source in made.parcel.files.items()}
    total = sum(sources[name].stat().st_size - int(have) for name, have in missing.items())
    count = 0

    def sent(more: int) -> None:
        nonlocal count
        if (count + more) * 10 // max(total, 1) > count * 10 // max(total, 1):
            progress(f"sent {(count + more) / 1e6:.0f} of {total / 1e6:.0f} MB")
        count += more

    for name, have in missing.items():
        connection.put(sources[name], name, int(have), sent)
    return count


def _runs(service: dict[str, Any]) -> str:
    return Path(str(service["bundle"])).parent.name


def _owner(wish: Wish, hello: dict[str, Any]) -> str:
    """Who the service runs as. Raises DeviceError if only root is known."""
    owner = wish.service_user or str(hello["sudo_user"] if hello["root"] else hello["user"])
    if owner or wish.user:
        return owner or str(hello["user"])
    raise DeviceError(
        "you log in as root, and nothing says who the service runs as",
        "the user of the arm, in the groups dialout and video",
        "give --service-user NAME, or log in as that user",
    )
