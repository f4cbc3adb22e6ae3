"""The systemd unit of a robot's service: text, and the commands that install it."""

from __future__ import annotations

from .places import Places

TEMPLATE = "dreamvla@.service"

_UNIT = """\
[Unit]
Description=DreamVLA policy for %i
StartLimitIntervalSec=300
StartLimitBurst=5

[Service]
Type=notify
NotifyAccess=main
{environment}
# The release's `dreamvla serve`, unless an update has taken the Python away that it needs.
ExecStart=/usr/bin/python3 -I -B {base}/current/device {base}/current/bundle \
--robot {settings}/robot.toml --control %t/dreamvla/%i/control.socket \
--backend ${{DREAMVLA_BACKEND}}
RuntimeDirectory=dreamvla/%i
RuntimeDirectoryMode=0700
# A guardian that `dreamvla run` has started for this robot has its socket there too.
RuntimeDirectoryPreserve=yes
# Loading a policy, and timing it before it drives, take longer than a step.
TimeoutStartSec=300
WatchdogSec=60
# A guardian brakes and holds on SIGTERM; the watchdog's own SIGABRT would end it in mid-motion.
WatchdogSignal=SIGTERM
KillMode=control-group
TimeoutStopSec=40
Restart=on-failure
RestartSec=2
LimitRTPRIO=50
LimitMEMLOCK=infinity
LimitCORE=0
LimitNOFILE=4096
TasksMax=512
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
RestrictSUIDSGID=yes
{protection}
[Install]
WantedBy={target}
"""
# Not here on purpose: RestrictRealtime and a smaller LimitMEMLOCK (the guardian asks for
# SCHED_FIFO and mlockall), PrivateDevices, DevicePolicy and ProtectClock, which implies one
# (serial port, cameras, GPU), MemoryDenyWriteExecute (ONNX Runtime and CUDA make code),
# PrivateNetwork (cameras may be network streams).
_PROTECTION = """\
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=read-only
PrivateTmp=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHostname=yes
RestrictNamespaces=yes
"""


def unit_text(user: bool) -> str:
    """The template unit, for the whole device or for one user's own systemd."""
    base = "%h/.local/share/dreamvla/%i" if user else "/opt/dreamvla/%i"
    settings = "%h/.config/dreamvla/%i" if user else "/etc/dreamvla/%i"
    return _UNIT.format(
        base=base,
        settings=settings,
        environment=f"Environment=DREAMVLA_BACKEND=onnxruntime DREAMVLA_ENGINES={base}/current/"
        f"engines\nEnvironmentFile={base}/current/environment",
        protection="" if user else _PROTECTION,
        target="default.target" if user else "multi-user.target",
    )


def drop_in_text(owner: str) -> str:
    """Who a robot's service runs as, beside the template that all robots share."""
    return f"[Service]\nUser={owner}\n"


def prepare_commands(places: Places, owner: str) -> list[tuple[str, ...]]:
    """Make the folders that root has to give away; `owner` is who flashes."""
    return [
        ("install", "-d", "-m", "755", "-o", owner, str(places.base)),
        ("install", "-d", "-m", "755", "-o", owner, str(places.settings)),
    ]


def install_commands(places: Places, unit: str, drop_in: str) -> list[tuple[str, ...]]:
    """Put unit and drop-in (files of a release) where systemd looks, each all or nothing."""
    instance = places.units / f"{places.unit}.d"
    commands: list[tuple[str, ...]] = [("install", "-d", "-m", "755", str(places.units))]
    pairs = [(unit, str(places.units / TEMPLATE))]
    if not places.user:
        commands.append(("install", "-d", "-m", "755", str(instance)))
        pairs.append((drop_in, str(instance / "user.conf")))
    for source, target in pairs:
        commands.append(("install", "-m", "644", source, f"{target}.partial"))
        commands.append(("mv", "-f", f"{target}.partial", target))
    return [*commands, systemctl(places, "daemon-reload")]


def systemctl(places: Places, *words: str) -> tuple[str, ...]:
    """A command to the systemd that runs this robot's service."""
    return ("systemctl", *(("--user",) if places.user else ()), *words)
