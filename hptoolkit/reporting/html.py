"""The report as one HTML file that needs no network."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from html import escape
from pathlib import Path

from hptoolkit.reporting.figures.figure import Figure
from hptoolkit.reporting.figures.stacked import stacked

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 1080px; margin: 2em auto;
       padding: 0 1em; }
h1 { font-size: 1.6em; margin-bottom: .2em; }
h2 { font-size: 1.2em; margin: 2em 0 .2em; }
figure { margin: 0 0 2.5em; }
figcaption, .notes { color: #444; max-width: 52em; }
.about { color: #666; margin-top: 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1em 1em; font-size: .85em; }
dt { color: #666; }
dd { margin: 0; overflow-wrap: anywhere; }
li { margin: .3em 0; }
details { overflow-x: auto; }
@media (max-width: 700px) { body { margin: 1em auto; } ul { padding-left: 1.2em; } }
table { border-collapse: collapse; font-size: .85em; margin-top: 1em; }
td, th { padding: .15em .7em; text-align: right; border-bottom: 1px solid #eee; }
td:last-child { text-align: left; }
"""

# On a screen too narrow for panels side by side, figures take the layout that stacks them.
_BEFORE = "const narrow = {}, wide = {};"
_AFTER = """
function fit() {
  const small = window.innerWidth < 700;
  for (const id in narrow) {
    const plot = document.getElementById(id);
    wide[id] = wide[id] || JSON.parse(JSON.stringify(plot.layout));
    if (plot.small !== small) {
      plot.small = small;
      const layout = JSON.parse(JSON.stringify(small ? narrow[id] : wide[id]));
      plot.style.height = plot.parentElement.style.height = layout.height + "px";
      // Anew: an update leaves half of an upright colour bar beside the flat one.
      Plotly.newPlot(plot, plot.data, layout, {displaylogo: false, responsive: true});
    }
  }
}
window.addEventListener("load", fit);
window.addEventListener("resize", fit);
"""


def write(
    path: Path,
    study_name: str,
    figures: Sequence[Figure],
    notes: Sequence[str],
    *,
    about: str = "",
    facts: Sequence[tuple[str, str]] = (),
    findings: Sequence[str] = (),
    table: Sequence[Sequence[str]] = (),
) -> None:
    """Write the page; nothing is left of it if that fails.

    Args:
        path: The HTML file; its folder is made.
        study_name: The title; none where it is empty.
        figures: In order; plotly's JavaScript is part of the page, once.
        notes: What could not be shown, a sentence each.
        about: What the study is, in a sentence.
        facts: What was trained, how and when: names and texts.
        findings: What was found, a sentence each.
        table: Rows of the runs, the first one their titles.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_text(
            html(study_name, figures, notes, about, facts, findings, table), encoding="utf-8"
        )
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def html(
    study_name: str,
    figures: Sequence[Figure],
    notes: Sequence[str],
    about: str,
    facts: Sequence[tuple[str, str]],
    findings: Sequence[str],
    table: Sequence[Sequence[str]],
) -> str:
    """The page's text."""
    from plotly.offline import get_plotlyjs

    script = f"<script>{get_plotlyjs()}</script><script>{_BEFORE}</script>" if figures else ""
    parts = [
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(study_name)}</title><style>{_STYLE}</style>{script}</head><body>",
        f"<h1>{escape(study_name)}</h1>" if study_name else "",
        f'<p class="about">{escape(about)}</p>' if about else "",
        _defined(facts),
        _listed("What was found", findings),
        *(_section(figure) for figure in figures),
        _listed("What cannot be shown", notes),
        _tabulated(table),
        f"<script>{_AFTER}</script>" if figures else "",
        "</body></html>",
    ]
    return "\n".join(part for part in parts if part)


def _section(figure: Figure) -> str:
    body = figure.figure.to_html(
        full_html=False,
        include_plotlyjs=False,
        div_id=figure.id,
        config={"displaylogo": False, "responsive": True},
    )
    layout = stacked(figure.figure)
    narrow = ""
    if layout is not None:
        # "</" would end the script.
        text = json.dumps(layout).replace("</", "<\\/")
        narrow = f'<script>narrow["{figure.id}"] = {text};</script>'
    return (
        f"<h2>{escape(figure.title)}</h2><figure>{body}{narrow}"
        f"<figcaption>{escape(figure.caption)}</figcaption></figure>"
    )


def _defined(facts: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts)
    return f"<dl>{rows}</dl>" if rows else ""


def _listed(title: str, sentences: Sequence[str]) -> str:
    if not sentences:
        return ""
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f'<h2>{escape(title)}</h2><ul class="notes">{items}</ul>'


def _tabulated(table: Sequence[Sequence[str]]) -> str:
    if not table:
        return ""
    rows = [
        "".join(f"<{cell}>{escape(text)}</{cell}>" for text in row)
        for cell, row in zip(("th", *["td"] * len(table)), table, strict=False)
    ]
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    summary = f"<summary>{len(table) - 1} runs</summary>"
    return f"<h2>All runs</h2><details>{summary}<table>{body}</table></details>"
