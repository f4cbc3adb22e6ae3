"""An ONNX file of matrix products, written without the onnx package, which a robot does not have.

Protocol buffers' wire format (protobuf.dev/programming-guides/encoding); field numbers from
onnx.proto of ONNX 1.16 (IR version 10).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_TYPES = {np.dtype(np.float32): 1, np.dtype(np.uint8): 2, np.dtype(np.int8): 3}


def matmul_model(weights: Sequence[npt.NDArray[Any]]) -> bytes:
    """A model with the products x · w of one input with each of the weights (inner, columns).

    Weights of float32: MatMul of x (rows, inner); of int8: MatMulInteger of x in uint8. The
    outputs are y0, y1, …
    """
    whole = weights[0].dtype == np.int8
    operator, given, made = ("MatMulInteger", 2, 6) if whole else ("MatMul", 1, 1)
    nodes, constants, outputs = [], [], []
    for number, weight in enumerate(weights):
        names = _text(1, "x") + _text(1, f"w{number}") + _text(2, f"y{number}")
        nodes.append(_part(1, names + _text(4, operator)))
        constants.append(_part(5, _constant(f"w{number}", weight)))
        outputs.append(_part(12, _value(f"y{number}", made, weight.shape[1])))
    graph = b"".join(nodes) + _text(2, "products") + b"".join(constants)
    graph += _part(11, _value("x", given, weights[0].shape[0])) + b"".join(outputs)
    return _number(1, 10) + _part(7, graph) + _part(8, _text(1, "") + _number(2, 20))


def _constant(name: str, array: npt.NDArray[Any]) -> bytes:
    """A TensorProto."""
    dims = b"".join(_number(1, length) for length in array.shape)
    return dims + _number(2, _TYPES[array.dtype]) + _text(8, name) + _part(9, array.tobytes())


def _value(name: str, type: int, columns: int) -> bytes:
    """A ValueInfoProto of a matrix with any number of rows."""
    shape = _part(1, _text(2, "rows")) + _part(1, _number(1, columns))
    return _text(1, name) + _part(2, _part(1, _number(1, type) + _part(2, shape)))


def _text(field: int, text: str) -> bytes:
    return _part(field, text.encode())


def _part(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])
