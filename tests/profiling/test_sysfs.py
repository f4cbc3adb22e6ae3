"""Files of /proc and /sys as a Jetson has them, as a laptop has them, and damaged."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamvla_edge.runtime.profiler import nvml
from dreamvla_edge.runtime.profiler.sysfs import Sysfs, core_loads, core_times, memory_mb
from dreamvla_edge.runtime.profiler.telemetry import open_telemetry

HWMON = "sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon3"
NANO = {
    f"{HWMON}/in1_label": "VDD_IN\n",
    f"{HWMON}/in1_input": "4984\n",
    f"{HWMON}/curr1_input": "1208\n",
    f"{HWMON}/in2_label": "VDD_CPU_GPU_CV\n",
    f"{HWMON}/in2_input": "4984\n",
    f"{HWMON}/curr2_input": "200\n",
    f"{HWMON}/in3_label": "VDD_SOC\n",
    f"{HWMON}/in3_input": "4976\n",  # no current: the channel is off
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": "49468\n",
    "sys/class/thermal/thermal_zone1/type": "cv0-thermal\n",
    "sys/class/thermal/thermal_zone1/temp": "-256000\n",
    "sys/class/thermal/thermal_zone2/type": "tj-thermal\n",
    "sys/class/thermal/thermal_zone2/temp": "50031\n",
    "sys/class/devfreq/17000000.gpu/device/load": "873\n",
    "sys/class/devfreq/17000000.gpu/cur_freq": "1020000000\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "1510400\n",
    "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "1728000\n",
    "proc/stat": "cpu  20 0 0 20 0 0 0 0 0 0\ncpu0 10 0 0 10 0 0 0 0 0 0\nintr 1\n",
    "proc/meminfo": "MemTotal:  8000000 kB\nMemFree: 1 kB\nMemAvailable:  6000000 kB\n",
}
AGX = {
    **{f"{HWMON}/{name}_input": "5000" for name in ("in1", "in2")},
    **{f"{HWMON}/{name}_input": "1000" for name in ("curr1", "curr2")},
    f"{HWMON}/in1_label": "VDD_GPU_SOC",
    f"{HWMON}/in2_label": "VDD_CPU_CV",
    "sys/bus/i2c/drivers/ina3221/1-0041/hwmon/hwmon4/in2_label": "VIN_SYS_5V0",
    "sys/bus/i2c/drivers/ina3221/1-0041/hwmon/hwmon4/in2_input": "5000",
    "sys/bus/i2c/drivers/ina3221/1-0041/hwmon/hwmon4/curr2_input": "500",
    "sys/class/devfreq/gpu-gpc-0/cur_freq": "1300500000",
}


def tree(root: Path, files: dict[str, str]) -> Path:
    """Writes files below a folder."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    return root


def test_a_nano(tmp_path: Path) -> None:
    """Power of VDD_IN, the junction's temperature, load in per mille, loads since last time."""
    source = Sysfs(tree(tmp_path, NANO))
    first = source.read()
    assert first is not None and first.cpu_load is None
    assert first.power_w == pytest.approx(4.984 * 1.208)
    assert first.temperature_c == 50.031 and first.gpu_load == 0.873
    assert first.clocks_mhz == {"gpu": 1020, "cpu": 1728}
    assert first.memory_mb == pytest.approx(2000000 * 1024 / 1e6)
    (tmp_path / "proc/stat").write_text("cpu0 13 0 0 11 0 0 0 0 0 0\ncpu1 1 2 3 4\n")
    second = source.read()
    assert second is not None and second.cpu_load == (0.75, None)


def test_an_agx_adds_three_rails(tmp_path: Path) -> None:
    """Two monitors; one rail less is no total."""
    found = Sysfs(tree(tmp_path, AGX)).read()
    assert found is not None and found.power_w == pytest.approx(12.5)
    assert found.clocks_mhz == {"gpu": 1300.5} and found.gpu_load is None
    (tmp_path / HWMON / "curr2_input").unlink()
    found = Sysfs(tmp_path).read()
    assert found is not None and found.power_w is None


def test_what_cannot_be(tmp_path: Path) -> None:
    """Power and memory below zero, a core of a number that no machine has."""
    Sysfs(tree(tmp_path, NANO))
    (tmp_path / HWMON / "in1_input").write_text("-5000\n")
    (tmp_path / "proc/meminfo").write_text("MemTotal: 5 kB\nMemAvailable: 9 kB\n")
    (tmp_path / "proc/stat").write_text(f"cpu{'7' * 5000} 1 2 3 4\ncpu0 1 2 3 4\n")
    found = Sysfs(tmp_path).read()
    assert found is not None and (found.power_w, found.memory_mb) == (None, None)
    assert [*core_times((tmp_path / "proc/stat").read_text())] == [0]


def test_nothing_at_all(tmp_path: Path) -> None:
    """An empty tree says nothing."""
    assert Sysfs(tmp_path).read() is None


@given(name=st.sampled_from([*NANO, *AGX]), text=st.text(max_size=30))
def test_a_damaged_file_is_left_out(
    name: str, text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever one file holds, reading goes on, and a load stays a share."""
    root = tree(tmp_path_factory.mktemp("root"), {**NANO, **AGX})
    (root / name).write_bytes(text.encode("utf-8", "surrogatepass"))
    source = Sysfs(root)
    for _ in range(2):
        found = source.read()
        assert found is not None
        assert found.gpu_load is None or 0 <= found.gpu_load <= 1


@given(st.text(alphabet="cpu0123456789 -.e\n"), st.text(alphabet="cpu0123456789 -.e\n"))
def test_damaged_times(before: str, after: str) -> None:
    """Loads of any two readings are shares."""
    loads = core_loads(core_times(before), core_times(after))
    assert all(load is None or 0 <= load <= 1 for load in loads or ())
    memory_mb(before)


def test_this_machine() -> None:
    """Real files: two processes' worth of samples come, and cores have loads."""
    import time

    with open_telemetry() as telemetry:
        time.sleep(0.5)
    assert len(telemetry.samples) >= 2
    assert telemetry.samples[-1].cpu_load and telemetry.samples[-1].memory_mb


def test_without_a_library() -> None:
    """Most machines."""
    assert nvml.open_nvml("libno-such-library.so.1") is None


FAKE = """
typedef struct {unsigned gpu, memory;} Used;
int nvmlInit_v2(void) {return %d;}
int nvmlShutdown(void) {return 0;}
int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **device) {*device = (void *)7; return i;}
int nvmlDeviceGetPowerUsage(void *device, unsigned *mw) {*mw = 65000; return device != (void *)7;}
int nvmlDeviceGetTemperature(void *device, int kind, unsigned *t) {*t = 61; return kind;}
int nvmlDeviceGetClockInfo(void *device, int kind, unsigned *mhz) {
  if (kind != 1) return 3;
  *mhz = 1980; return 0;
}
int nvmlDeviceGetUtilizationRates(void *device, Used *used) {used->gpu = 42; return 0;}
"""


@pytest.mark.parametrize("refuses", [0, 9])
def test_a_library(refuses: int, tmp_path: Path) -> None:
    """Called as nvml.h declares it; what it refuses (3: not supported) is not known."""
    source, path = tmp_path / "nvml.c", tmp_path / "libnvml.so"
    source.write_text(FAKE % refuses)
    subprocess.run(["g++", "-xc", "-shared", "-fPIC", "-o", path, source], check=True)
    opened = nvml.open_nvml(str(path))
    if refuses:
        assert opened is None
        return
    assert opened is not None
    found = Sysfs(tmp_path, opened).read()
    assert found is not None
    assert (found.power_w, found.temperature_c, found.gpu_load) == (65.0, 61.0, 0.42)
    assert found.clocks_mhz == {"gpu": 1980.0}
    assert found.power_of == "GPU"
    board = Sysfs(tree(tmp_path, NANO), opened).read()
    assert board is not None
    assert (board.power_w, board.power_of) == (pytest.approx(4.984 * 1.208), "board")
    opened.close()
