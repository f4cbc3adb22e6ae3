"""A page about an evaluation, with a video of every failure."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamvla_edge.runtime.arms.description import load_description
from dreamvla_edge.runtime.recording.video import write_video
from dreamvla_edge.sim.demo import ARM
from dreamvla_edge.sim.evaluation.evaluation import Asked, Log
from dreamvla_edge.sim.evaluation.trial import Trial
from dreamvla_edge.sim.scene.scene import Scene
from dreamvla_edge.sim.scene.views import Views
from dreamvla_edge.sim.tasks import FAMILIES, draw

PAGE = "index.html"
_SIZE = 240
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; color: #222 }
table { border-collapse: collapse } td, th { padding: .2rem .8rem; text-align: right }
td:first-child, th:first-child { text-align: left } tr { border-bottom: 1px solid #ddd }
figure { display: inline-block; margin: 0 1rem 1.5rem 0; width: 480px } video { width: 100% }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd } }
"""


def write_page(folder: Path, document: Mapping[str, Any], log: Log, asked: Sequence[Asked]) -> Path:
    """Writes PAGE and a video of each failed trial to a folder; videos that are there stay."""
    failed = [log.done[trial] for trial in asked if not log.done[trial].success]
    scene = Scene(load_description(ARM))
    with Views(scene, _SIZE) as views:
        for trial in failed:
            video = folder / _video(trial)
            if not video.exists():
                partial = video.with_name(f".{video.name}.partial.mp4")
                frames = _frames(scene, views, trial, log.motion(trial))
                write_video(partial, frames, trial.rate_hz)
                partial.replace(video)
    page = folder / PAGE
    page.write_text(_html(document, failed), encoding="utf-8")
    return page


def _video(trial: Trial) -> str:
    return f"{trial.family.replace('/', '-')}-{trial.seed}.mp4"


def _frames(scene: Scene, views: Views, trial: Trial, motion: Path) -> Iterator[NDArray[np.uint8]]:
    """Both cameras' pictures side by side."""
    played = np.load(motion)["motion"]
    if played.dtype == np.uint8:
        yield from played
        return
    layout = draw(FAMILIES[trial.family], trial.seed, len(scene.description.joints)).layout
    scene.reset(layout)
    for qpos in played:
        scene.show(qpos)
        yield np.hstack([views.image("primary"), views.image("wrist")])


def _html(document: Mapping[str, Any], failed: Sequence[Trial]) -> str:
    success = document["success"]
    rows = [*document["families"].items(), ("all", success), *document["controls"].items()]
    cells = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{found['episodes']}</td>"
        + "".join(f"<td>{100 * found[key]:.0f} %</td>" for key in ("mean", "low", "high"))
        + "</tr>"
        for name, found in rows
    )
    figures = "".join(
        f'<figure><video controls loop muted preload="metadata" src="{_video(trial)}"></video>'
        f"<figcaption><b>{html.escape(trial.instruction)}</b> ({trial.family}, seed {trial.seed}):"
        f" {html.escape(trial.end)} after {trial.time_s:.1f} s</figcaption></figure>"
        for trial in failed
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{100 * success["mean"]:.0f} %'
        f" of {success['episodes']} episodes</title><style>{_STYLE}</style>"
        f"<h1>{100 * success['mean']:.0f} % of {success['episodes']} episodes</h1>"
        "<table><tr><th>family<th>episodes<th>success<th>low<th>high</tr>"
        f"{cells}</table><p>Intervals hold 95 % (Wilson).</p>"
        f"<h2>{len(failed)} failures</h2>{figures or '<p>None.</p>'}</html>\n"
    )
