"""The table of boards against what NVIDIA advertises."""

from __future__ import annotations

import pytest

from dreamvla_edge.runtime.errors import BoardError
from dreamvla_edge.runtime.profiler.boards import board, boards

# Dense int8 T/s of the GPU and GB/s. Half of the advertised sparse int8 TOPS without the DLA's: 20,
# 34, 40, 67 (Nano), 50, 60, 77 (NX), 107, 170 (AGX); a quarter of the sparse fp4 TFLOPS, which are
# 1200 and 2070 (Thor).
ADVERTISED = {
    ("orin-nano-4gb", "10W"): (10.2, 34),
    ("orin-nano-4gb-super", "MAXN_SUPER"): (16.7, 51),
    ("orin-nano", "15W"): (20.5, 68),
    ("orin-nano-super", "MAXN_SUPER"): (33.5, 102),
    ("orin-nx-8gb", "MAXN"): (25.1, 102),
    ("orin-nx-16gb", "MAXN"): (30.1, 102),
    ("orin-nx-16gb-super", "MAXN_SUPER"): (38.4, 102),
    ("agx-orin-32gb", "MAXN"): (53.3, 205),
    ("agx-orin-64gb", "MAXN"): (85.2, 205),
    ("thor-t4000", "MAXN"): (300.0, 273),
    ("thor-t5000", "MAXN"): (517.0, 273),
}


@pytest.mark.parametrize(("name", "mode"), ADVERTISED)
def test_peaks_are_those_advertised(name: str, mode: str) -> None:
    """From SMs, clocks and operations per clock, to the rounding of the advertisement."""
    int8, bandwidth = ADVERTISED[name, mode]
    roof = board(name).roof(mode)
    assert roof.operations_per_s["int8"] == pytest.approx(int8 * 1e12, rel=0.005)
    assert roof.operations_per_s["fp16"] == roof.operations_per_s["int8"] / 2
    assert roof.bytes_per_s == pytest.approx(bandwidth * 1e9, rel=0.01)


def test_every_board_can_be_asked() -> None:
    """Modes go from fast to slow, the one that a board starts in is one of them."""
    for one in boards().values():
        assert one.default in [mode.name for mode in one.modes]
        assert one.roof().mode == one.default
        speeds = [one.roof(mode.name).operations_per_s["fp16"] for mode in one.modes]
        assert speeds == sorted(speeds, reverse=True)
        assert all(mode.sms % 2 == 0 for mode in one.modes)  # they are switched off in pairs


def test_power_modes_switch_processors_off() -> None:
    """Orin NX: 25 W has only a third more than 15 W, with twice the SMs."""
    nx = board("orin-nx-16gb")
    assert (nx.mode("25W").sms, nx.mode("15W").sms) == (8, 4)
    ratio = nx.roof("25W").operations_per_s["fp16"] / nx.roof("15W").operations_per_s["fp16"]
    assert ratio == pytest.approx(4 / 3)


def test_names() -> None:
    """Any case, with or without nvpmodel's MODE_; what is not there is refused with what is."""
    assert board("AGX-Orin-64GB").mode("30w").name == "MODE_30W"
    with pytest.raises(BoardError, match="orin-nano-super"):
        board("orin-micro")
    with pytest.raises(BoardError, match="MAXN_SUPER, 25W, 15W"):
        board("orin-nano-super").roof("MAXN")
