"""What CudaDevice must do, with NVIDIA's own cuda-bindings on whatever libcuda is found.

    python cuda_device_cases.py

prints one JSON line per case: its name, and why it failed or null. tests/kernels starts it on the
stand-in of tests/kernels/driver; on a machine with a GPU it can be started as it is.
"""

from __future__ import annotations

import numpy as np

from dreamvla_edge.kernels.cuda_device import CudaDevice
from launcher_cases import EVERY, refused, report


def rows(device: CudaDevice) -> None:
    """Between two pitches."""
    numbers = np.arange(60, dtype=np.float32).reshape(3, 20)
    source, to = device.upload(numbers), device.zeros((3, 10), np.float32)
    device.copy_rows(to.address + 8, 40, source.address, 80, 28, 3)
    wanted = np.zeros((3, 10), np.float32)
    wanted[:, 2:9] = numbers[:, :7]
    assert np.array_equal(device.download(to, (3, 10), np.float32), wanted)


def graphs(device: CudaDevice) -> None:
    """Nothing is done while a graph is captured, and all of it by each replay."""
    to, one = device.zeros((4,), np.float32), device.upload(np.ones(4, np.float32))
    with device.captured() as graph:
        device.copy_rows(to.address, 16, one.address, 16, 16, 1)
    assert not device.download(to, (4,), np.float32).any()
    for _ in range(2):
        device.clear(to)
        device.replay(graph.executable)
        assert device.download(to, (4,), np.float32).all()


def failed_capture(device: CudaDevice) -> None:
    """What a capture forbids is an error, after which the stream works on."""
    memory = device.zeros((4,), np.float32)
    with refused("capture", "report"), device.captured():
        device.download(memory, (4,), np.float32)
    assert not device.download(memory, (4,), np.float32).any()


if __name__ == "__main__":
    report(CudaDevice(), (*EVERY, rows, graphs, failed_capture))
