"""Fused attention under the block mask, on a device."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .calls import AttentionCall
from .device import Device, KernelError, Launch, halves

Array = npt.NDArray[Any]

WIDTHS = (32, 64, 96, 128)
"""Head widths that kernels are compiled for; others are padded in registers."""
CODES = 128
"""Pairs of kind and slot that the kernel tells apart."""
_ROWS, _THREADS = 64, 128


def launch_of(heads: int, rows: int, dim: int) -> Launch:
    """The launch for so many rows of each head. Raises KernelError for a width without kernel."""
    if dim % 8 or not 8 <= dim <= WIDTHS[-1]:
        raise KernelError(
            f"attention heads are {dim} wide; the kernel takes multiples of 8 up to {WIDTHS[-1]},"
            " so leave attention to the back end"
        )
    width = next(width for width in WIDTHS if width >= dim)
    grid = ((rows + _ROWS - 1) // _ROWS, heads, 1)
    return Launch("masked_attention.cu", f"masked_attention_{width}", grid, _THREADS)


def slots_of(
    table: Array, row_kind: Array, row_slot: Array, key_kind: Array, key_slot: Array
) -> int:
    """Slots to count with, so that each (kind, slot) has one of the kernel's codes.

    Raises KernelError if there are too many, a code is below zero, or a row may read nothing:
    its softmax has no meaning.
    """
    kinds = 1 + max(int(table[:, :2].max(initial=0)), int(key_kind.max(initial=0)))
    slots = 1 + max(int(row_slot.max(initial=0)), int(key_slot.max(initial=0)))
    lowest = min(int(a.min(initial=0)) for a in (row_kind, row_slot, key_kind, key_slot))
    if lowest < 0 or kinds * slots > CODES:
        raise KernelError(
            f"{kinds} kinds of tokens in {slots} slots, the lowest code {lowest}; the kernel takes"
            f" codes from 0 and at most {CODES} pairs of kind and slot"
        )
    for row in range(len(row_kind)):
        ahead = key_slot - row_slot[row]
        rules = table[table[:, 0] == row_kind[row]]
        if not any(
            ((key_kind == read) & (first <= ahead) & (ahead <= last)).any()
            for _, read, first, last in rules
        ):
            raise KernelError(
                f"row {row} (kind {row_kind[row]}, slot {row_slot[row]}) may read no key at all;"
                " give it a row in the mask's table, or leave it out"
            )
    return slots


class AttentionKernel:
    """Fused attention on a device, with buffers for these arguments.

    Arguments as of `references.masked_attention`, in halves. Raises KernelError as `slots_of` and
    `launch_of` do.
    """

    def __init__(
        self,
        device: Device,
        q: Array,
        past_k: Array,
        past_v: Array,
        k: Array,
        v: Array,
        row_kind: Array,
        row_slot: Array,
        key_kind: Array,
        key_slot: Array,
        table: Array,
        scale: float,
    ) -> None:
        heads, rows, dim = q.shape
        slots = slots_of(table, row_kind, row_slot, key_kind, key_slot)
        codes = (row_kind, row_slot, key_kind, key_slot, table)
        floats = [device.upload(halves(array)) for array in (q, past_k, past_v, k, v)]
        integers = [device.upload(np.ascontiguousarray(array, np.int32)) for array in codes]
        self._device, self._shape = device, q.shape
        self._out = device.zeros(q.shape, np.float16)
        self._kept = (*floats, *integers)
        self._launch = launch_of(heads, rows, dim)
        self._call = AttentionCall(
            *(buffer.address for buffer in (*floats, self._out, *integers)),
            *(rows, past_k.shape[1], k.shape[1], dim, len(table), slots),
            scale,
        )

    def launch(self) -> None:
        """Computes once."""
        self._device.launch(self._launch, self._call)

    def __call__(self) -> Array:
        """What comes out (H, M, d), computed anew."""
        self.launch()
        return self._device.download(self._out, self._shape, np.float16)
