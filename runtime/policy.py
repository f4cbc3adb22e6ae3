"""A bundle as a policy: raw frames and state in, a chunk of actions out."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .backends import Backend, SamplingSession, Session, make_backend
from .bundle import TOKENIZER_NAME, Bundle, open_bundle
from .cores import leave_last_core
from .errors import ObservationError
from .manifest import SamplerSpec
from .observation import finite, normalised
from .preprocess import preprocess
from .samplers import Sampled, sample
from .stopwatch import Spans, Stopwatch
from .tokenizer import Tokenizer
from .window import Frame, Window

FloatArray = npt.NDArray[np.float32]
ACTION_VALUES = 7


@dataclass(frozen=True)
class Chunk:
    """What the policy wants to do next.

    actions (P, 7): normalised, gripper before its threshold; `action_use` makes one executed
    action of it. features (P, D): backbone outputs behind them. spans: per stage (start, end)
    on the monotonic clock [s]: preprocess, vision, prefill_wait (only if it had to be waited
    for), embed, step, sampler; and prefill, of what was computed ahead for this chunk.
    """

    actions: FloatArray
    features: FloatArray
    spans: Spans = field(default_factory=dict)


class Policy:
    """Runs one bundle, exactly as the released evaluation would, with a tenth of its work.

    bundle: a directory or an opened bundle; backend: a name of `BACKENDS`, module:Class, or a
    back end already made; threads: of one made by name, None for what helps; seed: of the
    sampler's noise; sampler: another one than the bundle's (`samplers.named`).

    After every `act` the next window is computed ahead in a thread of its own while the arm
    moves (see `prepare`); `act` waits for it if need be.
    """

    def __init__(
        self,
        bundle: str | Path | Bundle,
        backend: str | Backend = "onnxruntime",
        threads: int | None = None,
        seed: int | None = None,
        sampler: SamplerSpec | None = None,
    ) -> None:
        self.bundle = bundle if isinstance(bundle, Bundle) else open_bundle(bundle)
        manifest = self.bundle.manifest
        loader = make_backend(backend, threads) if isinstance(backend, str) else backend
        self._head_name = "denoise" if manifest.network.action_head == "dit" else "head"
        self._loader, self._dreams = loader, dict[str, Session]()
        self._text = self._load("text")
        self._vision = self._load("vision")
        self._head = self._load(self._head_name)
        self._stopwatch = Stopwatch()
        self.window = Window(manifest.network, self._load, self._stopwatch)
        self._tokenizer = Tokenizer(self.bundle.file(TOKENIZER_NAME))
        self.sampler = None if manifest.sampler is None else sampler or manifest.sampler
        self._random = np.random.default_rng(seed)
        self._before: Sampled | None = None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="prefill")
        self._ahead: Future[tuple[float, float]] | None = None
        self._prefilled: tuple[float, float] | None = None
        self._ready = False
        self._new_frames = 0
        self._expected: int | None = None

    def reset(self, instruction: str) -> None:
        """Forget all observations and take a new instruction.

        Raises ObservationError if the instruction is empty or too long.
        """
        self.reset_tokens(self.tokens(instruction))

    def reset_tokens(self, tokens: npt.NDArray[np.int32]) -> None:
        """As `reset`, for tokens (1, 77) of CLIP's vocabulary."""
        self.settle()
        self.window.reset(self.text(tokens))
        self._ready, self._new_frames = True, 0
        self._before = self._prefilled = self._expected = None

    def observe(self, primary: npt.ArrayLike, wrist: npt.ArrayLike, state: npt.ArrayLike) -> None:
        """Take one observation without acting on it.

        primary, wrist: raw uint8 frames (height, width, 3) of the sizes that the bundle's
        specification names; state: raw (7 or 8). For a policy that acts less often than the
        cameras deliver: the window must hold frames at the training rate.
        """
        with self._stopwatch("preprocess"):
            images = self.images(primary, wrist)
        self.see(images, state)

    def act(
        self,
        primary: npt.ArrayLike,
        wrist: npt.ArrayLike,
        state: npt.ArrayLike,
        noise: npt.ArrayLike | None = None,
        prepare: bool = True,
    ) -> Chunk:
        """Observe, and return the chunk of actions for this observation.

        Arguments as in `observe`; noise (P, 7): the sampler's start, drawn when None; prepare:
        whether to `prepare` at once, for those who have nothing more urgent to do with the actions.
        Raises ObservationError when a frame, the state or the noise is not as specified.
        """
        self._stopwatch.restart()
        if noise is not None:
            noise = self._checked_noise(noise)
        self.observe(primary, wrist, state)
        chunk = self.decide(noise)
        if prepare:
            self.prepare()
        return chunk

    def prepare(self) -> None:
        """Begin to compute the next window ahead, once after a decision, in a thread of its own.

        As many new frames are expected as came before that decision.
        """
        if self._expected is not None:
            self._ahead = self._worker.submit(self._prefill, self._expected)
            self._expected = None

    def beside_guardian(self) -> None:
        """From now on what is computed ahead leaves the guardian its core.

        It begins when the actions are out, just as the guardian acts: on one core they would be in
        each other's way, by chance now and then.
        """
        self._worker.submit(leave_last_core)

    def tokens(self, instruction: str) -> npt.NDArray[np.int32]:
        """Tokens (1, 77) of an instruction."""
        return self._tokenizer(instruction)

    def text(self, tokens: npt.NDArray[np.int32]) -> FloatArray:
        """Text embedding (1, D) of tokens (1, 77)."""
        return np.asarray(self._text.run({"tokens": tokens})["text"])

    def vision(self, images: FloatArray) -> FloatArray:
        """Vision rows (A-2, D) of both preprocessed images (2, 3, size, size)."""
        return np.asarray(self._vision.run({"images": images})["vision"])

    def images(self, primary: npt.ArrayLike, wrist: npt.ArrayLike) -> FloatArray:
        """Both preprocessed images (2, 3, size, size) of two raw frames."""
        manifest = self.bundle.manifest
        frames: tuple[Any, Any] = (primary, wrist)
        cameras = manifest.specification.cameras
        return np.stack(
            [
                preprocess(frame, camera, manifest.preprocessing)
                for frame, camera in zip(frames, cameras, strict=True)
            ]
        )

    def see(self, images: FloatArray, state: npt.ArrayLike) -> None:
        """As `observe`, for preprocessed images (2, 3, size, size)."""
        self._require(self._ready, "an observation before any instruction")
        checked = self._checked_state(state)
        with self._stopwatch("vision"):
            vision = self.vision(images)
        self.settle()
        self.window.push(Frame(vision, checked))
        self._new_frames += 1

    def decide(self, noise: FloatArray | None = None, ahead: Any = None) -> Chunk:
        """The chunk for the observations taken so far; `ahead` as in `Window.features`."""
        self._require(self.window.slots > 0, "a decision before any observation")
        if noise is None:
            noise = self.noise(self._random)
        self.settle()
        features = self.window.features(ahead=ahead)
        with self._stopwatch("sampler"):
            actions = self._decided(features, noise)
        if not np.isfinite(actions).all():
            raise ObservationError(
                "the network computed a value that is not finite",
                "finite actions",
                "run `dreamvla verify` on the bundle and check the state's scale",
            )
        spans = self._stopwatch.spans
        if self._prefilled is not None:
            spans["prefill"] = self._prefilled
        self._expected, self._new_frames = self._new_frames, 0
        return Chunk(actions, features, spans)

    def noise(self, random: np.random.Generator) -> FloatArray:
        """The sampler's start noise (P, 7) for the next decision.

        Drawn anew, or that of the decision before if its predictions are where the next begins.
        """
        if self._before is not None and self.sampler and self.sampler.warm_sweeps is not None:
            return self._before.noise
        rows = self.bundle.manifest.network.action_steps
        return random.standard_normal((rows, ACTION_VALUES), np.float32)

    def actions(self, features: FloatArray, noise: FloatArray) -> FloatArray:
        """Actions (P, 7) from features (P, D) and the sampler's start noise (P, 7), cold."""
        if self.sampler is None:
            return np.asarray(self._head.run({"features": features})["actions"])
        return self._sampled(features, noise, self.sampler, None).actions

    def _decided(self, features: FloatArray, noise: FloatArray) -> FloatArray:
        """As `actions`, after the decisions since the last reset."""
        if self.sampler is None:
            return self.actions(features, noise)
        self._before = self._sampled(features, noise, self.sampler, self._before)
        return self._before.actions

    def _sampled(
        self, features: FloatArray, noise: FloatArray, spec: SamplerSpec, before: Sampled | None
    ) -> Sampled:
        if isinstance(self._head, SamplingSession):
            found = self._head.sample(features, noise, spec, before)
            if found is not None:
                return found

        def predict(x: FloatArray, times: npt.NDArray[np.int32]) -> FloatArray:
            return self.predict_noise(x, times, features, spec.guidance)

        return sample(noise, predict, spec, before)

    def predict_noise(
        self, x: FloatArray, times: npt.NDArray[np.int32], features: FloatArray, guidance: float
    ) -> FloatArray:
        """Guided noise predictions (B, P, 7) for x (B, P, 7) at diffusion times (B,)."""
        inputs = {
            "x": x,
            "t": times,
            "features": features,
            "guidance": np.array([guidance], np.float32),
        }
        return np.asarray(self._head.run(inputs)["noise"])

    def dream(self) -> dict[str, FloatArray]:
        """What the network expects the cameras to show: per head (2 cameras, N, channels).

        Uses the newest observation; computed on request, since actions do not need it.
        """
        self._require(self.window.slots > 0, "a dream before any observation")
        self.settle()
        return self.dreams()

    def dreams(self) -> dict[str, FloatArray]:
        """As `dream`, for whatever `window` holds."""
        manifest = self.bundle.manifest
        features = self.window.features(range(manifest.network.dream_rows))
        return {
            head.name: self._dream_session(head.name).run({"features": features})["prediction"]
            for head in manifest.network.dreams
            if f"dream_{head.name}" in manifest.subgraphs
        }

    def _load(self, name: str) -> Session:
        return self._loader.load(self.bundle.model(name), self.bundle.manifest.subgraphs[name])

    def _dream_session(self, name: str) -> Session:
        """Loaded at first use: a policy that only acts does not pay for it."""
        if name not in self._dreams:
            self._dreams[name] = self._load(f"dream_{name}")
        return self._dreams[name]

    def settle(self) -> None:
        """Wait until nothing is computed ahead any more.

        Raises what that computation raised.
        """
        if self._ahead is not None:
            try:
                if self._ahead.done():
                    self._prefilled = self._ahead.result()
                else:
                    with self._stopwatch("prefill_wait"):
                        self._prefilled = self._ahead.result()
            finally:  # Ctrl-C ends the waiting, not the computation: then it is waited for again
                if self._ahead.done():
                    self._ahead = None

    def close(self) -> None:
        """Wait for the thread and end it; the policy cannot be used any more."""
        try:
            self.settle()
        finally:
            self._worker.shutdown()
            self._ready = False

    def __enter__(self) -> Policy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _prefill(self, expected: int) -> tuple[float, float]:
        """Computes the next window ahead; when it began and ended, monotonic [s]."""
        begin_s = time.monotonic()
        self.window.prefill(expected)
        return begin_s, time.monotonic()

    def _require(self, condition: bool, found: str) -> None:
        if not condition or not self._ready:
            raise ObservationError(
                found,
                "reset(instruction), then act(primary, wrist, state), on a policy that is open",
                "call reset with what the arm shall do, then act",
            )

    def _checked_state(self, state: npt.ArrayLike) -> FloatArray:
        specification = self.bundle.manifest.specification.state
        meaning = "the state that the bundle's data set names"
        raw = finite(state, (specification.size,), "state", meaning)
        return normalised(raw, specification)

    def _checked_noise(self, noise: npt.ArrayLike) -> FloatArray:
        shape = (self.bundle.manifest.network.action_steps, ACTION_VALUES)
        return finite(noise, shape, "noise", "standard normal numbers")
