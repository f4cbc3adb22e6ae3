"""Trials on a Ray cluster: the same results, on as many machines as there are."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray
from ray.util import ActorPool

from .evaluation import Asked, Candidate, Results, open_stage
from .trial import Played

LOCAL = "local"
"""Instead of a cluster's address: one that lives on this machine as long as it is needed."""


class _Player:
    """A stage on some machine, with a bundle of its own."""

    def __init__(
        self, files: dict[str, bytes], sampler: str | None, asked: Sequence[Asked]
    ) -> None:
        self._folder = TemporaryDirectory(prefix="dreamvla-bundle-")
        for name, content in files.items():
            place = Path(self._folder.name) / name
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(content)
        self._stage = open_stage(Candidate(Path(self._folder.name), sampler), asked)

    def play(self, asked: Asked) -> tuple[Played, tuple[float, ...]]:
        return self._stage.play(asked)


@contextmanager
def results_on_ray(
    candidate: Candidate, asked: Sequence[Asked], workers: int, address: str
) -> Iterator[Results]:
    """What `evaluate` asks for, in its order.

    workers: players, each of one core, wherever the cluster has it; address: as `ray.init` takes
    it, or LOCAL. The bundle's files travel there; its machines need this package and nothing
    else. Raises ConnectionError if there is no cluster.
    """
    own: dict[str, Any] = {"num_cpus": workers} if address == LOCAL else {"address": address}
    # Players do the work here; beside anything else they would hardly come to it at Ray's 15.
    os.environ.setdefault("RAY_worker_niceness", "0")
    ray.init(**own, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    try:
        root = candidate.bundle
        paths = [path for path in root.rglob("*") if path.is_file()]
        files = ray.put({str(path.relative_to(root)): path.read_bytes() for path in paths})
        player = ray.remote(num_cpus=1)(_Player)
        pool = ActorPool(
            [player.remote(files, candidate.sampler, asked[:1]) for _ in range(workers)]
        )
        played = pool.map(lambda one, trial: one.play.remote(trial), list(asked))
        yield ((trial, *found) for trial, found in zip(asked, played, strict=True))
    finally:
        ray.shutdown()
