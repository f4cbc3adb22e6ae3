"""What `deploy/probe.py` found on a machine, checked. Bytes, hertz, seconds, degrees Celsius."""

from __future__ import annotations

from typing import Any

import msgspec

from dreamvla_edge.deploy import probe
from dreamvla_edge.runtime.errors import DeviceError


class _Fact(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Board(_Fact, frozen=True):
    """Of the device tree: `compatible` begins with the module and ends with its processor."""

    model: str
    compatible: tuple[str, ...]


class System(_Fact, frozen=True):
    """name: of the distribution; cpus_online, cpus_possible: as Linux writes it, such as 0-5."""

    name: str
    machine: str
    bits: int
    kernel: str
    cpus: int
    cpus_online: str
    cpus_possible: str


class Python(_Fact, frozen=True):
    """The one that ran the probe; ensurepip: whether it can make virtual environments."""

    version: str
    path: str
    ensurepip: bool


class TensorRT(_Fact, frozen=True):
    """binding: version of Python's package; library: path of libnvinfer.so."""

    binding: str | None
    library: str | None


class Cuda(_Fact, frozen=True):
    """The toolkit; nvcc: whether its compiler is there."""

    version: str
    path: str
    nvcc: bool


class CudaDevice(_Fact, frozen=True):
    """What CUDA's driver says of its first device; driver: the CUDA version that it supports."""

    name: str
    driver: str
    architecture: str
    multiprocessors: int
    bytes: int


class Gpu(_Fact, frozen=True):
    """usable: whether this user may open its nodes; problem: why there is no `cuda`."""

    nodes: tuple[str, ...]
    usable: bool
    cuda: CudaDevice | None
    problem: str


class Memory(_Fact, frozen=True):
    """[byte]"""

    total: int
    available: int
    swap: int


class Space(_Fact, frozen=True):
    """Of the file system on which `place` is or would be [byte]."""

    place: str
    free: int
    total: int
    writable: bool


class PowerMode(_Fact, frozen=True):
    """gpu_hz: highest clock of the GPU, -1 without a limit; mask: one bit per TPC that is off."""

    id: int
    name: str
    cpus: int
    gpu_hz: int
    mask: int


class Power(_Fact, frozen=True):
    """mode: id of the chosen one."""

    mode: int
    modes: tuple[PowerMode, ...]

    @property
    def now(self) -> PowerMode | None:
        """The chosen mode, if nvpmodel.conf has it."""
        return next((mode for mode in self.modes if mode.id == self.mode), None)


class Clocks(_Fact, frozen=True):
    """Of the GPU [Hz]; load: share of it that is busy."""

    least: int
    most: int
    now: int
    load: float | None


class Clock(_Fact, frozen=True):
    """now [s since 1970]; synchronised: by a time server; None if nothing tells."""

    now: float
    synchronised: bool | None


class User(_Fact, frozen=True):
    """groups: of the process; at_login: those that a new login would have, beside its own."""

    root: bool
    groups: tuple[str, ...]
    at_login: tuple[str, ...]


class Scheduling(_Fact, frozen=True):
    """fifo: whether SCHED_FIFO was granted; memlock [byte], -1 is endless."""

    fifo: bool
    rtprio: int
    memlock: int


class Node(_Fact, frozen=True):
    """A device node.

    links: lasting names, by-id before by-path; usable: by this user; mode: octal; holders:
    programs that have it open, as far as this user can see them; usb: vendor and product.
    """

    node: str
    links: tuple[str, ...]
    usable: bool
    group: str
    mode: str
    holders: tuple[str, ...]
    driver: str
    usb: str


class SerialPort(Node, frozen=True):
    """latency_ms: how long the adapter may hold bytes back, where it has such a timer."""

    latency_ms: int | None


class Camera(Node, frozen=True):
    """name: as its maker calls it; socket: USB bus and ports, such as 1-2.3."""

    name: str
    socket: str


class Adapter(_Fact, frozen=True):
    """A USB serial adapter; driver: "" if none has taken it; ports: names below /dev."""

    usb: str
    product: str
    driver: str
    ports: tuple[str, ...]


class Unit(_Fact, frozen=True):
    """A service of systemd."""

    unit: str
    state: str
    restarts: int


class Release(_Fact, frozen=True):
    """What flash has installed under a name; current: None if its link leads nowhere.

    made: Pythons that its packages are for; python: that which runs it, empty if none does.
    """

    name: str
    place: str
    current: str | None
    releases: tuple[str, ...]
    made: tuple[str, ...]
    python: str
    packages: dict[str, str]


class Facts(_Fact, frozen=True):
    """All of it; None is a fact that could not be had, and `missing` says by name why."""

    schema: int
    board: Board | None
    l4t: str | None
    system: System | None
    python: Python | None
    tensorrt: TensorRT | None
    cuda: Cuda | None
    cudnn: str | None
    gpu: Gpu | None
    memory: Memory | None
    disk: tuple[Space, ...] | None
    power: Power | None
    clocks: Clocks | None
    temperature: float | None
    clock: Clock | None
    user: User | None
    scheduling: Scheduling | None
    serial: tuple[SerialPort, ...] | None
    adapters: tuple[Adapter, ...] | None
    cameras: tuple[Camera, ...] | None
    systemd: bool | None
    units: tuple[Unit, ...] | None
    programs: tuple[str, ...] | None
    debs: dict[str, str] | None
    packages: dict[str, str] | None
    releases: tuple[Release, ...] | None
    missing: dict[str, str]


class _Versioned(msgspec.Struct):
    schema: int


# Made with the module: msgspec 0.22 crashes where two threads use a type for the first time, and
# several devices may answer at once.
_SCHEMA, _FACTS = msgspec.json.Decoder(_Versioned), msgspec.json.Decoder(Facts)


def decode(document: bytes, place: str = "this machine") -> Facts:
    """What the probe printed at `place`. Raises DeviceError if it is not that."""
    try:
        schema = _SCHEMA.decode(document).schema
        if schema != probe.SCHEMA:
            raise DeviceError(
                f"{place} answers with facts of schema {schema}",
                f"schema {probe.SCHEMA}",
                "use the probe of the same version: it is sent along and needs no installation",
            )
        return _FACTS.decode(document)
    except msgspec.DecodeError as error:
        raise DeviceError(
            f"{place} answers with something else than facts"
            f" ({error}): {document[:200].decode(errors='replace')!r}",
            "one JSON document, and nothing that a login script prints",
            "run `ssh HOST true`: it must print nothing",
        ) from error


def facts_here(places: Any = probe.PLACES) -> Facts:
    """Of this machine and this Python."""
    return decode(msgspec.json.encode(probe.probe(places)))
