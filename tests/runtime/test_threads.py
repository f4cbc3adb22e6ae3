"""How many threads ONNX Runtime gets."""

from __future__ import annotations

import os

import pytest

from dreamvla_edge.demo import BUNDLE
from dreamvla_edge.runtime.backends.onnxruntime import OnnxRuntime, product_s
from dreamvla_edge.runtime.bundle import open_bundle
from dreamvla_edge.runtime.work import Product, Work

OPENED = open_bundle(BUNDLE)


def threads(asked: int | None, name: str) -> int:
    """Of a session of the shipped bundle."""
    spec = OPENED.manifest.subgraphs[name]
    loaded = OnnxRuntime(asked).load(OPENED.model(name), spec)
    return int(loaded._session.get_session_options().intra_op_num_threads)


def test_small_products_are_not_shared() -> None:
    """But for one who asks for it; the large products of a dream are."""
    assert threads(None, "denoise") == threads(None, "backbone") == 1
    assert threads(2, "denoise") == 2 and threads(1, "dream_image") == 1
    assert threads(None, "dream_image") == len(os.sched_getaffinity(0))


def test_a_product_takes_what_its_arithmetic_or_its_weights_take() -> None:
    """At 100 GFLOP/s and 10 GB/s; of several the mean."""
    large = Product(100, 1000, 1000, 2, "fp32", "fp32")
    assert product_s(Work((large,), 4.0, 0, 0, 2)) == pytest.approx(2e-3)
    thin = Product(1, 1000, 1000, 4, "fp32", "fp32")
    assert product_s(Work((thin,), 16.0, 0, 0, 4)) == pytest.approx(0.4e-3)
    assert product_s(Work((), 0, 0, 0, 3)) == 0
