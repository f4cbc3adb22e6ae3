"""A training run: goes on where it stopped, and gives the same weights as if it never had."""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from .plan import Plan

STATE, LOG = "state.pt", "log.jsonl"
_LOGGED = 50
"""A line of the log says the means over so many steps."""
_CLIP = 1.0
"""Largest norm of a gradient."""


Lesson = Callable[[np.random.Generator], Mapping[str, Tensor]]
"""Draws what one step learns from, all from the generator: `loss`, and what is logged beside."""


class Run:
    """Trains a network in a folder of its own.

    folder: holds STATE (written whole or not at all) and LOG; one with a state of the same plan
    and origin is gone on with. network: with its first weights; only those that the loss of the
    lesson reaches change. origin: names the examples and the first weights. Raises ValueError if
    the folder holds another run.
    """

    def __init__(
        self, network: nn.Module, lesson: Lesson, plan: Plan, folder: Path, origin: str
    ) -> None:
        self.network, self.plan, self.folder = network, plan, folder
        self._identity = {"plan": json.dumps(asdict(plan)), "origin": origin}
        self._lesson = lesson
        self._weights = {
            name: weight
            for name, weight in network.named_parameters()
            if not name.startswith(plan.frozen)
        }
        for name, weight in network.named_parameters():
            weight.requires_grad_(name in self._weights)
        flat = [weight for weight in self._weights.values() if weight.ndim < 2]
        matrices = [weight for weight in self._weights.values() if weight.ndim >= 2]
        self._optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": plan.decay},
                {"params": flat, "weight_decay": 0.0},
            ],
            betas=(0.9, 0.98),
            fused=True,
        )
        self._average = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self.step = 0
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / STATE).exists():
            self._load()
        self._forget_lines_after()

    def go(self, until: int, tell: Callable[[dict[str, float]], None]) -> None:
        """Trains until so many steps are done; tell: each line of the log."""
        self.network.train()
        sums: defaultdict[str, float] = defaultdict(float)
        since, begun = self.step, time.monotonic()
        while self.step < min(until, self.plan.steps):
            for name, loss in self._advance().items():
                sums[name] += loss
            if self.step % _LOGGED == 0 or self.step == self.plan.steps:
                count = self.step - since
                line = {"step": self.step, **{name: value / count for name, value in sums.items()}}
                line["steps_per_s"] = count / (time.monotonic() - begun)
                with (self.folder / LOG).open("a") as file:
                    print(json.dumps({k: round(v, 6) for k, v in line.items()}), file=file)
                tell(line)
                sums.clear()
                since, begun = self.step, time.monotonic()

    def averaged(self) -> dict[str, Tensor]:
        """State dict with the averaged weights, as a released checkpoint has it."""
        return {**self.network.state_dict(), **self._average}

    def save(self) -> None:
        """Writes STATE."""
        state = {
            **self._identity,
            "step": self.step,
            "weights": {name: weight.detach() for name, weight in self._weights.items()},
            "average": self._average,
            "optimizer": self._optimizer.state_dict(),
        }
        partial = self.folder / f".{STATE}.partial"
        torch.save(state, partial)
        os.replace(partial, self.folder / STATE)

    def _advance(self) -> dict[str, float]:
        """One step of the optimizer; what the lesson says."""
        plan = self.plan
        # Of the step alone, so that a run that goes on draws what it would have drawn.
        random = np.random.default_rng((plan.seed, self.step))
        # The fused attention's way back takes four times as long as that of its parts on a CPU.
        with torch.autocast("cpu", torch.bfloat16), sdpa_kernel(SDPBackend.MATH):
            found = self._lesson(random)
        self._optimizer.zero_grad(set_to_none=True)
        found["loss"].backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._weights.values(), _CLIP)
        for group in self._optimizer.param_groups:
            group["lr"] = plan.rate_at(self.step)
        self._optimizer.step()
        self.step += 1
        keep = min(plan.average, self.step / (self.step + 10))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self._average.values()), list(self._weights.values()), 1 - keep
            )
        return {name: value.item() for name, value in found.items()}

    def _load(self) -> None:
        state: dict[str, Any] = torch.load(self.folder / STATE, weights_only=True)
        for name, mine in self._identity.items():
            if state[name] != mine:
                raise ValueError(f"{self.folder} holds a run of another {name}: {state[name]}")
        self.step = state["step"]
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(state["weights"][name])
                self._average[name].copy_(state["average"][name])
        self._optimizer.load_state_dict(state["optimizer"])

    def _forget_lines_after(self) -> None:
        """Cuts the log back to the step that the state is of."""
        log = self.folder / LOG
        if log.exists():
            lines = log.read_text().splitlines(keepends=True)
            log.write_text("".join(li for li in lines if json.loads(li)["step"] <= self.step))
