"""What a launch is given, laid out as the structures of the same names in `cuda/`."""

from __future__ import annotations

import ctypes
from ctypes import c_float, c_int, c_void_p

_Fields = list[tuple[str, type]]


def _fields(pointers: str, integers: str, floats: str = "") -> _Fields:
    kinds = ((pointers, c_void_p), (integers, c_int), (floats, c_float))
    return [(name, kind) for names, kind in kinds for name in names.split()]


class AttentionCall(ctypes.Structure):
    """Of `masked_attention.cuh`."""

    _fields_ = _fields(
        "q past_k past_v k v out row_kind row_slot key_kind key_slot table",
        "rows past fresh dim table_rows slots",
        "scale",
    )


class DenoiseCall(ctypes.Structure):
    """Of `denoise.cuh`."""

    _fields_ = _fields(
        "condition noise actions matrices scales embedder embedder_bias no_condition time position"
        " x_weight x_bias out_weight out_bias table evaluations"
        " x parts embedded clean change slope visited noisy normed qkv mixed hidden counter",
        "width heads hidden_width layers features steps points branches evaluation_count split",
        "guidance",
    )


class Axis(ctypes.Structure):
    """Of `preprocess.cuh`."""

    _fields_ = _fields("first count weight", "taps origin step")


class CameraCall(ctypes.Structure):
    """Of `preprocess.cuh`."""

    _fields_ = [("frame", c_void_p), ("row", Axis), ("column", Axis), ("width", c_int)]


class PreprocessCall(ctypes.Structure):
    """Of `preprocess.cuh`."""

    _fields_ = [
        ("camera", CameraCall * 2),
        ("normal", c_void_p),
        ("image", c_void_p),
        ("size", c_int),
    ]
