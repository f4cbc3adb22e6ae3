"""Graphs with their weights, however their files are linked."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx.external_data_helper import ExternalDataInfo, uses_external_data


def load_with_weights(path: Path) -> onnx.ModelProto:
    """A model of an opened bundle, as `onnx.load`, which refuses files with several links.

    Releases on a device are hard links (`deploy/device/store.py`). Opening a bundle has checked
    that weights lie in it and are what was written.
    """
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        if uses_external_data(tensor):
            info = ExternalDataInfo(tensor)
            with (path.parent / info.location).open("rb") as file:
                file.seek(info.offset or 0)
                tensor.raw_data = file.read() if info.length is None else file.read(info.length)
            del tensor.external_data[:]
            tensor.data_location = onnx.TensorProto.DEFAULT
    return model
