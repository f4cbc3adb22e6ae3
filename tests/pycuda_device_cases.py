"""What PyCudaDevice must do, with PyCUDA itself on whatever libcuda is found.

    python pycuda_device_cases.py

prints one JSON line per case: its name, and why it failed or null. tests/kernels starts it on the
stand-in of tests/kernels/driver, in the environment of tools/pycuda.sh; on a machine with a GPU,
PyCUDA and cuda-bindings it can be started as it is.
"""

from __future__ import annotations

import atexit
import ctypes
from threading import Thread
from typing import Any

import numpy as np
import numpy.typing as npt
import pycuda.driver as cuda

from dreamvla_edge.kernels.calls import AttentionCall
from dreamvla_edge.kernels.cuda_device import CudaDevice
from dreamvla_edge.kernels.device import Buffer, Device, Launch
from dreamvla_edge.kernels.pycuda_device import PyCudaDevice
from kernel_cases import KERNELS
from launcher_cases import EVERY, SEEDS, copies, refused, report


def contexts(device: PyCudaDevice) -> None:
    """None is current but while it works; what another has made current stays so."""
    copies(device)
    assert cuda.Context.get_current() is None and not current()
    own = cuda.Device(0).retain_primary_context()
    atexit.register(own.detach)
    own.push()
    copies(device)
    assert cuda.Context.get_current() == own and current() == own.handle
    cuda.Context.pop()


def given_up(device: PyCudaDevice) -> None:
    """A device that goes away takes nothing from another, and leaves no context current."""
    buffer = device.upload(np.ones(4))
    other = PyCudaDevice()
    copies(other)
    del other
    assert not current() and device.download(buffer, (4,), np.float64).all()


def threads(device: PyCudaDevice) -> None:
    """Others may use it."""
    buffer = device.zeros((4,), np.float64)
    found = []

    def work() -> None:
        device.write(buffer, np.ones(4))
        found.append(device.download(buffer, (4,), np.float64))

    thread = Thread(target=work)
    thread.start()
    thread.join()
    assert len(found) == 1 and found[0].all()


def arguments_of_another_kernel(device: PyCudaDevice) -> None:
    """They are not as long as the kernel's."""
    with refused("invalid", "report"):
        device.launch(Launch("preprocess.cu", "preprocess", (1, 1, 1), 256), AttentionCall())


def same_bytes(device: PyCudaDevice) -> None:
    """Launches through cuda-bindings, with the same arguments, leave the same."""
    through = Recorded(device), Recorded(CudaDevice())
    for run in KERNELS.values():
        for seed in range(SEEDS):
            for one in through:
                run(one, np.random.default_rng(seed))
    ours, theirs = (one.downloaded for one in through)
    assert len(ours) >= SEEDS * len(KERNELS) and all(any(found) for found in ours[:SEEDS])
    assert ours == theirs


class Recorded:
    """A device that keeps the bytes that are downloaded from it."""

    def __init__(self, device: Device) -> None:
        self.device, self.downloaded = device, list[bytes]()

    def __getattr__(self, name: str) -> Any:
        """Of the device."""
        return getattr(self.device, name)

    def download(
        self, buffer: Buffer, shape: tuple[int, ...], dtype: npt.DTypeLike
    ) -> npt.NDArray[Any]:
        """As the device does."""
        found = self.device.download(buffer, shape, dtype)
        self.downloaded.append(found.tobytes())
        return found


def current() -> int:
    """The context that is current for the driver itself, 0 for none."""
    found = ctypes.c_void_p()
    assert ctypes.CDLL("libcuda.so.1").cuCtxGetCurrent(ctypes.byref(found)) == 0
    return found.value or 0


if __name__ == "__main__":
    # The last case's CudaDevice leaves its context current.
    own = (contexts, given_up, threads, arguments_of_another_kernel, same_bytes)
    report(PyCudaDevice(), (*EVERY, *own))
