"""Lines of tegrastats as they were recorded on devices, and damaged ones."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.runtime.profiler.sample import Sample
from dreamvla_edge.runtime.profiler.sysfs import Sysfs
from dreamvla_edge.runtime.profiler.tegrastats import Tegrastats, parse
from dreamvla_edge.runtime.profiler.telemetry import Telemetry

ORIN_5 = (
    "RAM 4011/8138MB (lfb 8x4MB) SWAP 0/4068MB (cached 0MB) CPU [12%@1190,off,7%@1510,0%@1190]"
    " EMC_FREQ 0%@2133 GR3D_FREQ 45%@318 VIC_FREQ 115 cpu@52C gpu@49.5C tj@52.5C soc0@-256C"
    " VDD_IN 5765mW/5765mW VDD_CPU_GPU_CV 1548mW/1500mW VDD_SOC 1497mW/1490mW"
)
ORIN_6 = ORIN_5.replace("45%@318", "35%@[612]")
AGX = (
    "11-05-2026 10:01:02 RAM 9000/62841MB (lfb 4x4MB) CPU [1%@729,2%@729] EMC_FREQ 1%@3199"
    " GR3D_FREQ 0%@[1224,1300] cpu@50C gpu@48C"
    " VDD_GPU_SOC 3200mW/3200mW VDD_CPU_CV 800mW/790mW VIN_SYS_5V0 2900mW/2900mW"
)
THOR = (
    "04-21-2026 15:50:52 RAM 105265/125772MB (lfb 34x4MB) CPU [0%@972,1%@972] EMC_FREQ 0%@2750"
    " GR3D_FREQ @[314,314,314] NVENC0_FREQ @314 VIC off OFA_FREQ @315 PVA0_FREQ off APE 300"
    " cpu@37.343C tj@38.875C soc012@37.468C gpu@38.875C soc345@37.406C VDD_GPU 1962mW/1962mW"
    " VDD_CPU_SOC_MSS 5887mW/5887mW VIN_SYS_5V0 5635mW/5635mW VIN 19780mW/19780mW"
)
THOR_39 = (
    "04-21-2026 15:50:52 RAM 105265/125772MB (lfb 34x4MB) CPU [0%,5%,off]@2601"
    " EMC_FREQ 34%@4266 GR3D_FREQ 87%@[1574,1574,1574] cpu@58.25C/61.75C tj@60.5C/62C"
    " VDD_GPU 37939mW/8660mW/37939mW VIN 124486mW/36487mW/124486mW"
)
RECORDED = {
    ORIN_5: Sample(
        *(1.0, 5.765, 52.5, (0.12, None, 0.07, 0.0), 0.45),
        {"cpu": 1510, "gpu": 318, "memory": 2133},
        4011,
    ),
    ORIN_6: Sample(
        *(1.0, 5.765, 52.5, (0.12, None, 0.07, 0.0), 0.35),
        {"cpu": 1510, "gpu": 612, "memory": 2133},
        4011,
    ),
    AGX: Sample(
        *(1.0, 6.9, 50.0, (0.01, 0.02), 0.0), {"cpu": 729, "gpu": 1300, "memory": 3199}, 9000
    ),
    THOR: Sample(
        *(1.0, 19.78, 38.875, (0.0, 0.01), None), {"cpu": 972, "gpu": 314, "memory": 2750}, 105265
    ),
    THOR_39: Sample(
        *(1.0, 124.486, 60.5, (0.0, 0.05, None), 0.87),
        {"cpu": 2601, "gpu": 1574, "memory": 4266},
        105265,
    ),
}


@pytest.mark.parametrize("line", RECORDED)
def test_every_shape_is_read(line: str) -> None:
    """All that it tells, and nothing else."""
    found, wanted = parse(line, 1.0), RECORDED[line]
    assert found is not None
    assert found.power_w == pytest.approx(wanted.power_w)  # a sum of rails
    assert found.__dict__ | {"power_w": 0} == wanted.__dict__ | {"power_w": 0}


@pytest.mark.parametrize("line", RECORDED)
def test_a_line_that_was_cut_tells_less_but_nothing_else(line: str) -> None:
    """At every length that ends between two words: what is told is what the whole line tells."""
    whole = parse(line, 1.0)
    assert whole is not None
    words = line.split(" ")
    for length in range(len(words)):
        found = parse(" ".join(words[:length]), 1.0)
        if found is None:
            continue
        for name, value in found.__dict__.items():
            if name == "clocks_mhz":
                assert value.items() <= whole.clocks_mhz.items()
            elif name != "temperature_c":  # the hottest of the sensors so far
                assert value in (None, pytest.approx(getattr(whole, name)))


@given(st.text() | st.sampled_from([*RECORDED]).flatmap(lambda line: st.permutations([*line])))
def test_garbage_is_no_reason_to_end(line: str | list[str]) -> None:
    """Any text at all."""
    parse("".join(line), 0.0)


@given(
    st.sampled_from([*RECORDED]),
    st.integers(0, 400),
    st.integers(0, 30),
    st.text(alphabet="0123456789%@[],mWCoff/ -.", max_size=400),
)
def test_a_damaged_line_gives_values_that_can_be(
    line: str, start: int, length: int, other: str
) -> None:
    """Loads stay shares and everything stays finite, whatever is written over a part."""
    found = parse(line[:start] + other + line[start + length :], 0.0)
    if found is None:
        return
    loads = [*(found.cpu_load or ()), found.gpu_load]
    assert all(load is None or 0 <= load <= 1 for load in loads)
    numbers = [found.power_w, found.temperature_c, found.memory_mb, *found.clocks_mhz.values()]
    assert all(number is None or abs(number) < float("inf") for number in numbers)


def test_a_program_that_prints_and_ends(tmp_path: Path) -> None:
    """A real process: lines come with the time at which they came; a half one is dropped."""
    program = tmp_path / "tegrastats"
    program.write_text(
        f'#!/bin/sh\n[ "$1" = --interval ] || exit 9\necho "{ORIN_6}"\necho nonsense\n'
        f'echo "{THOR}"\nprintf "VIN 1mW/1mW"\n'
    )
    program.chmod(0o755)
    before = time.monotonic()
    telemetry = Telemetry(Tegrastats(str(program)))
    with telemetry:
        while len(telemetry.samples) < 2 and time.monotonic() < before + 10:
            time.sleep(0.01)
        time.sleep(0.1)
    assert [sample.power_w for sample in telemetry.samples] == [5.765, 19.78]
    assert all(before <= sample.time_s <= time.monotonic() for sample in telemetry.samples)


def test_a_program_that_ends_at_once(tmp_path: Path) -> None:
    """What files tell is told from then on, and where it came from."""
    program = tmp_path / "tegrastats"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    deadline_s = time.monotonic() + 10
    with Telemetry(Tegrastats(str(program)), Sysfs) as telemetry:
        while len(telemetry.samples) < 2 and time.monotonic() < deadline_s:
            time.sleep(0.01)
    assert telemetry.samples[-1].cpu_load
    assert telemetry.source == "tegrastats, which ended, then sysfs"


@pytest.mark.parametrize("leaves", ["sleep 60 | sleep 60", "trap '' TERM; sleep 60 & sleep 60"])
def test_nothing_is_left_of_it(leaves: str, tmp_path: Path) -> None:
    """A script's own programs end with it, though they keep its output open."""
    program = tmp_path / "tegrastats"
    program.write_text(f"#!/bin/sh\n{leaves}\n")
    program.chmod(0o755)
    source = Tegrastats(str(program))
    group, start_s = source.process_id, time.monotonic()
    with Telemetry(source):
        time.sleep(0.3)
    assert time.monotonic() - start_s < 20
    while time.monotonic() - start_s < 30:
        if not alive(group):
            return
        time.sleep(0.05)
    raise AssertionError("its programs still run")


def alive(group: int) -> list[str]:
    """Names of the processes of a group that are no zombies."""
    found = []
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = file.read_text().partition(") ")
        except OSError:
            continue
        state, _, its_group = rest.split()[:3]
        if int(its_group) == group and state != "Z":
            found.append(name)
    return found


def test_a_line_without_an_end(tmp_path: Path) -> None:
    """Is passed over in pieces; the next is read."""
    program = tmp_path / "tegrastats"
    program.write_text(
        f'#!/bin/sh\nhead -c 20000000 /dev/zero\necho\necho "{ORIN_6}"\nexec sleep 60\n'
    )
    program.chmod(0o755)
    source = Tegrastats(str(program))
    tracemalloc.start()
    try:
        assert source.read() is None
        found = source.read()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        source.close()
    assert found is not None and found.power_w == 5.765
    assert most < 1e6


@pytest.mark.timeout(30)
def test_a_long_line_is_looked_at_once() -> None:
    """The policy that is measured stands still meanwhile; from every bracket anew: 45 s."""
    assert parse("CPU [ " * 32000, 1.0) is None


def test_a_program_that_says_nothing_can_be_left(tmp_path: Path) -> None:
    """The end of `with` does not wait for a line."""
    program = tmp_path / "tegrastats"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    start = time.monotonic()
    with Telemetry(Tegrastats(str(program))) as telemetry:
        pass
    assert telemetry.samples == () and time.monotonic() - start < 10
