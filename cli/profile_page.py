"""A profile as one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from dreamvla_edge.runtime.profiler.profile import END_TO_END, Profile
from dreamvla_edge.runtime.profiler.timeline import PREFILL

from .profile_charts import number, over_time, spreads, tail, waterfall
from .profile_table import HEADER, facts, row

_STYLE = """
:root { --ink: #1c2024; --soft: #6b7480; --line: #dfe3e8; --page: #fff; --card: #f7f8fa;
  --bar: #7fb2e5; --floor: #1f5f9e; --ahead: #c9b7e8; --second: #d9822b }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8ea; --soft: #9aa4af; --line: #343a41;
  --page: #16191c; --card: #1f2327; --bar: #3f78b0; --floor: #a9d1f7; --ahead: #6d5a94;
  --second: #e9a35b } }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1.2rem 1rem 3rem;
  max-width: 76rem; color: var(--ink); background: var(--page); overflow-wrap: break-word }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.05rem; margin: 0 0 .5rem }
p { margin: .3rem 0 } .soft, figcaption { color: var(--soft); font-size: .87rem }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .7rem;
  margin: 1rem 0 }
.tiles div, figure, section { background: var(--card); border: 1px solid var(--line);
  border-radius: .5rem; padding: .7rem .9rem; margin: 0; min-width: 0 }
.tiles b { display: block; font-size: 1.45rem; line-height: 1.3 }
.tiles span { color: var(--soft); font-size: .85rem }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr));
  gap: .9rem; margin-bottom: .9rem }
svg { display: block; width: 100%; max-width: 34rem; margin: 0 auto; height: auto }
svg text { font-size: 11px; fill: var(--ink) } svg text.value { fill: var(--soft) }
.bar, .swatch.bar { fill: var(--bar); background: var(--bar) }
.floor { fill: var(--floor); background: var(--floor) }
.ahead { fill: var(--ahead); background: var(--ahead) }
.grid { stroke: var(--line) } .level { stroke: var(--second); stroke-dasharray: 4 3 }
.thin { stroke: var(--bar); stroke-width: 1 } .middle { stroke: var(--bar); stroke-width: 4 }
.thick { stroke: var(--floor); stroke-width: 6 } .dot { fill: var(--ink) }
.point { fill: var(--floor); fill-opacity: .65 }
.curve0, .curve1 { fill: none; stroke: var(--floor); stroke-width: 1.6 }
.curve1 { stroke: var(--second) }
.swatch { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .3em }
.swatch.one { background: var(--floor) } .swatch.two { background: var(--second) }
figcaption { margin-top: .3rem } section { margin-bottom: .9rem }
.scroll { overflow-x: auto } table { border-collapse: collapse; font-size: .87rem; width: 100% }
td, th { padding: .2rem .6rem; text-align: right; white-space: nowrap }
td:first-child, th:first-child { text-align: left } tr + tr { border-top: 1px solid var(--line) }
tr:last-child { font-weight: 600 }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .1rem 1rem;
  margin: 0 }
dt { color: var(--soft) } dd { margin: 0; min-width: 0 } ul { margin: 0; padding-left: 1.1rem }
"""


def page(found: Profile) -> str:
    """The whole page."""
    subject, environment = found.subject, found.environment
    machine = environment.board or environment.machine
    power = f", power mode {environment.power_mode}" if environment.power_mode else ""
    title = f"{subject.bundle} on {machine}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}: where the time goes</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1>"
        f'<p class="soft">{subject.runs} decisions after {subject.warm_up} for warming up,'
        f" {subject.step_hz:.1f} Hz, {escape(subject.backend)}, at most {subject.threads} threads,"
        f" {escape(subject.arm)}{escape(power)}; {escape(environment.started)}</p>"
        f"{_tiles(found)}{_charts(found)}"
        f"<section><h2>Milliseconds</h2>{_table(found)}</section>"
        f"<section><h2>Beside the time</h2>{_list(facts(found))}</section>"
        f"<section><h2>Machine</h2>{_environment(found)}</section></body></html>\n"
    )


def _tiles(found: Profile) -> str:
    summary, rate = found.end_to_end.summary, found.rate
    tiles = [
        (f"{number(summary.p50 * 1e3)} ms", "picture to servos, median"),
        (f"{number(summary.p99 * 1e3)} ms", "99 % are through within"),
        (f"{rate.most_hz:.0f} Hz" if rate.most_hz >= 10 else f"{rate.most_hz:.2f} Hz", "possible"),
        (f"{rate.missed} of {rate.busy.count}", f"missed {rate.hz:.3g} Hz"),
    ]
    floors = [stage for name, stage in found.stages.items() if stage.floor and name != PREFILL]
    if floors:
        least = sum(stage.floor.seconds for stage in floors if stage.floor)
        share = least / sum(stage.summary.p50 for stage in floors)
        tiles.append((f"{100 * share:.0f} %", f"of the roofline; floor {number(least * 1e3)} ms"))
    if found.use.energy_j is not None:
        tiles.append((f"{found.use.energy_j:.2f} J", "per action"))
    body = "".join(f"<div><b>{escape(a)}</b><span>{escape(b)}</span></div>" for a, b in tiles)
    return f'<div class="tiles">{body}</div>'


def _charts(found: Profile) -> str:
    curves = {END_TO_END: found.end_to_end.seconds}
    legend = '<span class="swatch one"></span>picture to servos'
    if "guardian" in found.stages:
        policy = [
            sum(parts)
            for parts in zip(
                *(
                    stage.seconds
                    for name, stage in found.stages.items()
                    if name not in ("capture", "guardian", "wire", PREFILL, "other")
                ),
                strict=True,
            )
        ]
        curves["policy"] = tuple(policy)
        legend += ' &nbsp; <span class="swatch two"></span>the policy&rsquo;s part of it'
    figures = (
        (
            "The median decision",
            waterfall(found),
            '<span class="swatch bar"></span>measured &nbsp; <span class="swatch floor"></span>'
            "the least it can take on this machine &nbsp;"
            ' <span class="swatch ahead"></span>computed ahead while the arm moves',
        ),
        (
            "How much it varies",
            spreads(found),
            "Dot: median; thick to 90 %, thinner to 99 %, thinnest to the largest.",
        ),
        (
            "Every decision",
            over_time(found),
            f"From the camera&rsquo;s stamp to {escape(found.subject.until)} [ms].",
        ),
        ("The tail", tail(curves), legend + " [ms]"),
    )
    body = "".join(
        f"<figure><h2>{name}</h2>{chart}<figcaption>{told}</figcaption></figure>"
        for name, chart, told in figures
    )
    return f'<div class="charts">{body}</div>'


def _table(found: Profile) -> str:
    rows = [row(name, stage) for name, stage in found.stages.items()]
    rows.append(row(END_TO_END, found.end_to_end))
    lines = [_cells("th", HEADER), *(_cells("td", cells) for cells in rows)]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table>{body}</table></div>'


def _cells(kind: str, cells: Sequence[str]) -> str:
    return "".join(f"<{kind}>{escape(cell)}</{kind}>" for cell in cells)


def _list(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _environment(found: Profile) -> str:
    it, subject = found.environment, found.subject
    clocks = ", ".join(f"{name} {mhz:.0f} MHz" for name, mhz in it.clocks_mhz.items())
    entries = {
        "processor": f"{it.machine}, {it.cores} cores, {it.architecture}",
        "board": it.board,
        "power mode": it.power_mode,
        "clocks": ", ".join(part for part in (clocks, it.governor) if part),
        "system": it.system,
        "versions": ", ".join(f"{name} {version}" for name, version in it.versions.items()),
        "load before": f"{it.load:.2f} running programs per core",
        "roof": "" if found.roof is None else str(found.roof["source"]),
        "telemetry": it.telemetry,
        "cameras": ", ".join(subject.cameras),
        "bundle": subject.sha256,
        "sampler": subject.sampler or "the bundle's own",
    }
    body = "".join(
        f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in entries.items() if value
    )
    return f"<dl>{body}</dl>"
