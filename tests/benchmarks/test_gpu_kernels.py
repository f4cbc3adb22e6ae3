"""What of `benchmarks/gpu_kernels.py` a machine without GPU can run."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from dreamvla_edge.model import synthetic
from dreamvla_edge.model.schedule import ddim
from project.sources import ROOT

SMALL = replace(synthetic.SMALL, window=3)


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The modules of the folder can be imported, as when a program there is run."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def test_without_a_gpu_it_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    """One line, no traceback, nothing on standard output."""
    from gpu_kernels import main

    assert main([]) == 1
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1
    assert said.err.startswith("error: no CUDA driver")


def test_the_exact_step_gives_what_the_released_loop_gives() -> None:
    """Features and, through the same sampler, actions, in float32 on the CPU."""
    import gpu_kernels
    from exact_step import ExactStep

    network = gpu_kernels.random_network(SMALL)
    frames = gpu_kernels.random_frames(network, SMALL.window)
    noise = torch.randn(SMALL.action_steps, 7, generator=torch.Generator().manual_seed(1))
    wanted = gpu_kernels.released(network, frames, noise)()
    with torch.inference_mode():
        text = network.text(torch.zeros(1, 77, dtype=torch.long))
        features = ExactStep(network, text, frames[:-1])(frames[-1])
        net, guidance = network.action_model.net, SMALL.guidance
        (found,) = ddim(
            noise[None],
            lambda x, t: net.guided(x, t, features[None], guidance),
            SMALL.sampler_steps,
        )
    # float32 over two layers and ten evaluations, in another order of sums
    assert (found - wanted).abs().max() <= 1e-4 * wanted.abs().max()
