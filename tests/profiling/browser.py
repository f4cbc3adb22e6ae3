"""What headless Chromium makes of a page."""

from __future__ import annotations

import html
import json
import os
import subprocess
from pathlib import Path
from typing import Any

_SCRIPT = """<script>
const said = [];
addEventListener('error', event => said.push(String(event.message)));
console.error = (...words) => said.push(words.join(' '));
addEventListener('load', () => {
  const box = element => element.getBoundingClientRect();
  const apart = (a, b) => a.right <= b.left + 0.5 || b.right <= a.left + 0.5
    || a.bottom <= b.top + 2 || b.bottom <= a.top + 2;
  const charts = [...document.querySelectorAll('svg')].map(svg => {
    const outer = box(svg), texts = [...svg.querySelectorAll('text')];
    const marks = [...svg.querySelectorAll('.bar, .thick, .point, polyline')]
      .filter(mark => box(mark).width > 0 || box(mark).height > 0);
    const overlaps = [], outside = [];
    texts.forEach((one, i) => {
      const a = box(one);
      if (a.left < outer.left - 1 || a.right > outer.right + 1 || a.bottom > outer.bottom + 3)
        outside.push(one.textContent);
      texts.slice(i + 1).forEach(other => {
        if (!apart(a, box(other))) overlaps.push(one.textContent + ' / ' + other.textContent);
      });
    });
    return {label: svg.getAttribute('aria-label'), marks: marks.length, overlaps, outside,
      height: outer.height, smallest: Math.min(...texts.map(text => box(text).height))};
  });
  const blocks = [...document.querySelectorAll('h1, h2, p, .tiles div, figure, section')];
  const crossing = [];
  blocks.forEach((one, i) => blocks.slice(i + 1).forEach(other => {
    if (!one.contains(other) && !other.contains(one) && !apart(box(one), box(other)))
      crossing.push(one.textContent.slice(0, 30) + ' / ' + other.textContent.slice(0, 30));
  }));
  const note = document.createElement('pre');
  note.id = 'found';
  note.textContent = JSON.stringify({said, charts, crossing, width: innerWidth,
    scroll: document.documentElement.scrollWidth,
    linked: [...document.querySelectorAll('[src], [href]')].length});
  parent.document.body.append(note);
});
</script>"""


def laid_out(page: str, width: int, folder: Path) -> dict[str, Any]:
    """Errors, charts with their marks and texts that touch, and widths of a page [pixel]."""
    file = folder / f"page{width}.html"
    inner = html.escape(page.replace("<head>", f"<head>{_SCRIPT}"))
    # No window is narrower than 500 pixels, but a frame may be.
    frame = f'<iframe srcdoc="{inner}" style="width:{width}px;height:5000px;border:0"></iframe>'
    file.write_text(f'<!doctype html><meta charset="utf-8"><body>{frame}', encoding="utf-8")
    shown = subprocess.run(
        [
            *("chromium", "--headless", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--no-sandbox", "--disable-background-networking", "--disable-component-update"),
            *("--disable-sync", "--hide-scrollbars", f"--window-size={width + 100},1000"),
            *(f"--user-data-dir={folder / 'chrome'}", "--dump-dom", file.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "HOME": str(folder)},
    )
    text = shown.stdout.rpartition('<pre id="found">')[2].partition("</pre>")[0]
    found: dict[str, Any] = json.loads(html.unescape(text))
    return found
