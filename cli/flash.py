"""`dreamvla flash`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from .bundle_path import BundlePath
from .command import example, run, shared_options
from .number import Number
from .report import Report

if TYPE_CHECKING:
    from dreamvla_edge.deploy.flash import Outcome, Plan, Wish

_MOST_AT_ONCE = 8


@click.command(
    "flash",
    epilog=example(
        "dreamvla flash bundle nano.local --dry-run",
        "dreamvla flash bundle user@nano.local --budget-ms 80",
        "dreamvla flash bundle left right --offline --wheelhouse build/wheelhouse",
        "dreamvla flash bundle localhost --user",
    ),
)
@click.argument("bundle", type=BundlePath())
@click.argument("hosts", nargs=-1, required=True, metavar="HOST…")
@click.option("--name", default="arm", show_default=True, help="Of the robot on the device.")
@click.option("--budget-ms", type=Number(0.1), help="Most that a step may take (p95).")
@click.option("--power-mode", default="", help="Name or number the Jetson must be in.")
@click.option("--stop-arm", is_flag=True, help="Bring a policy that drives to hold first.")
@click.option("--user", is_flag=True, help="For this user alone, without root.")
@click.option("--service-user", default="", help="Who the service runs as (default: the login).")
@click.option("--ask-sudo", is_flag=True, help="Ask for the password that sudo wants there.")
@click.option(
    "--wheelhouse",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of wheels to carry along, from `make wheelhouse`.",
)
@click.option("--offline", is_flag=True, help="Install from the wheels carried along alone.")
@click.option(
    "--wheel",
    type=click.Path(path_type=Path),
    help="Version of the tool to install (default: the one that runs here).",
)
@click.option("--python", default="python3", show_default=True, help="On the device.")
@click.option("--dry-run", is_flag=True, help="Look, and list every line that needs root.")
@shared_options
def command(
    bundle: Path,
    hosts: tuple[str, ...],
    name: str,
    budget_ms: float | None,
    power_mode: str,
    stop_arm: bool,
    user: bool,
    service_user: str,
    ask_sudo: bool,
    wheelhouse: Path | None,
    offline: bool,
    wheel: Path | None,
    python: str,
    dry_run: bool,
    report: Report,
) -> None:
    """Install a bundle on devices over SSH; operating system, bootloader and partitions stay.

    HOST is as ssh takes it, or localhost. The device is looked at, gets what it has not, builds
    and verifies the release, and only then switches to it; when the new service is not well it
    goes back by itself. The arm is never moved: the service waits for `dreamvla start`.
    """
    from dreamvla_edge.deploy.flash import Wish, gate_arm
    from dreamvla_edge.deploy.own_wheel import own_wheel
    from dreamvla_edge.runtime.bundle import open_bundle

    report.progress(f"checking the hashes of {bundle}")
    opened = open_bundle(bundle)
    if budget_ms is not None:
        gate_arm(opened)
    if offline and wheelhouse is None:
        report.progress("--offline without --wheelhouse: the device must have what the tool needs")
    with ExitStack() as stack:
        if wheel is None:
            report.progress("packing the tool")
            wheel = own_wheel(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        wish = Wish(
            bundle=opened,
            tool=wheel,
            name=name,
            user=user,
            wheelhouse=wheelhouse,
            offline=offline,
            budget_ms=budget_ms,
            stop_arm=stop_arm,
            power_mode=power_mode,
            service_user=service_user,
            password=click.prompt("sudo password", hide_input=True, err=True) if ask_sudo else "",
        )
        rows: dict[str, dict[str, Any]] = {host: {} for host in hosts}

        def one(host: str) -> None:
            _flash(host, rows[host], wish, python, dry_run, report, alone=len(hosts) == 1)

        _each(rows, one, report)


def _flash(
    host: str,
    row: dict[str, Any],
    wish: Wish,
    python: str,
    dry_run: bool,
    report: Report,
    alone: bool,
) -> None:
    """One device; fills its row of the document as it goes. Raises DeviceError."""
    from dreamvla_edge.deploy.connection import Connection
    from dreamvla_edge.deploy.flash import flash, plan
    from dreamvla_edge.deploy.preflight import require

    def progress(line: str) -> None:
        report.progress(line if alone else f"{host}: {line}")

    with Connection(host, python, alone, progress) as connection:
        progress(f"looking at {host}")
        made = plan(connection, wish)
        if alone:
            _show(made, report)
        row.update(_planned(made))
        if dry_run:
            if alone:
                _show_lines(made, report)
            require(made.findings)
            row["result"] = "no change" if made.unchanged else "would install"
            return
        outcome = flash(connection, wish, made, progress)
    if alone:
        if outcome.gate:
            report.text(
                f"a policy step takes {outcome.gate['p95_ms']:.1f} ms there (95 % of"
                f" {outcome.gate['steps']} steps)"
            )
        for note in outcome.notes:
            report.text(note)
    row.update(_done(outcome))


def _each(rows: dict[str, dict[str, Any]], work: Callable[[str], None], report: Report) -> None:
    """Does it for all at once; one that fails hinders no other, and is the command's error."""
    from dreamvla_edge.runtime.errors import DeviceError, DreamvlaError

    failed: dict[str, DreamvlaError] = {}

    def one(host: str) -> None:
        try:
            work(host)
        except DreamvlaError as error:
            failed[host] = error
            rows[host].update(result="failed", why=error.found, cure=error.cure)

    with ThreadPoolExecutor(_MOST_AT_ONCE) as pool:
        list(pool.map(one, rows))
    report.document({"hosts": rows})
    if len(rows) == 1 and failed:
        raise next(iter(failed.values()))
    report.table(
        ("host", "result", "release", ""),
        (
            (host, row["result"], row.get("release", ""), row.get("why", ""))
            for host, row in rows.items()
        ),
    )
    if failed:
        raise DeviceError(
            f"{len(failed)} of {len(rows)} failed: "
            + "; ".join(f"{host}: {error.found}" for host, error in failed.items()),
            "all devices done",
            "; ".join(f"{host}: {error.cure}" for host, error in failed.items()),
        )


def _show(made: Plan, report: Report) -> None:
    """The preflight as a table."""
    rows = [(f.level if f.level != "ok" else "", f.name, f.found) for f in made.findings]
    report.table(("", "preflight", "found"), rows)
    for finding in made.findings:
        if finding.level == "warning" and finding.cure:
            report.text(f"  {finding.name}: {finding.cure}")
    report.text()


def _show_lines(made: Plan, report: Report) -> None:
    size = made.parcel.bytes / 1e6
    report.text(f"release {made.parcel.release}, up to {size:.0f} MB to send")
    report.text("run as root on the device:" if made.privileged else "nothing is run as root")
    for line in made.privileged:
        report.text(f"  {line}")
    report.text()


def _planned(made: Plan) -> dict[str, Any]:
    return {
        "release": made.parcel.release,
        "current": made.current,
        "privileged": made.privileged,
        "preflight": [asdict(finding) for finding in made.findings],
    }


def _done(outcome: Outcome) -> dict[str, Any]:
    return {
        "result": "installed" if outcome.changed else "no change",
        "current": outcome.plan.parcel.release,
        "before": outcome.plan.current,
        "sent_bytes": outcome.sent_bytes,
        "backend": outcome.backend,
        "gate": outcome.gate,
        "notes": outcome.notes,
    }


def main() -> NoReturn:
    """Entry point of `dreamvla-flash`."""
    run(command, "dreamvla-flash")
