"""The same figure for a narrow screen: its panels one below the other."""

from __future__ import annotations

import json
from typing import Any

# Pixels of a panel with its axis titles, of what stands around all of them, and of a colour bar.
_PANEL, _AROUND, _BAR = 330, 110, 70
# The share of a panel's room that its axis title and the next one's heading take.
_GAP = 0.3


def stacked(figure: Any) -> dict[str, Any] | None:
    """The layout that puts a figure's panels below one another; None if it has only one.

    It takes the place of the figure's own layout; the traces stay as they are. Each panel keeps its
    axes; one that borrowed the labels of its neighbour shows its own, and the colour bar lies flat
    below the last.
    """
    layout = json.loads(figure.to_json())["layout"]
    panels = _panels(layout)
    if len(panels) < 2:
        return None
    below = _BAR if _colour_axes(layout) else 0
    height = _PANEL * len(panels) + _AROUND + below
    share = 1.0 / len(panels)
    titles = {}
    titled: dict[float, Any] = {}  # by the top of a row of panels
    for row, (x, y) in enumerate(panels):
        top = 1.0 - row * share
        titles[_head(layout[x], layout[y])] = top
        row_top = layout[y]["domain"][1]
        if (layout[y].get("title") or {}).get("text"):
            titled[row_top] = layout[y]["title"]
        layout[y]["title"] = titled.get(row_top, {})
        layout[x] |= {"domain": [0.0, 1.0], "showticklabels": True}
        bottom = max(top - share * (1 - _GAP), 0.0)
        layout[y] |= {"domain": [bottom, top], "showticklabels": True, "automargin": True}
        # Equal scales would leave a strip of a narrow panel.
        for axis in (x, y):
            layout[axis].pop("scaleanchor", None)
    for note in layout.get("annotations", ()):
        place = (round(float(note.get("x", 0)), 4), round(float(note.get("y", 0)), 4))
        if note.get("yref") == "paper" and place in titles:
            note |= {"x": 0.5, "y": titles[place]}
    pixels = height - _AROUND
    layout["legend"] = {**layout.get("legend", {}), "y": -(60 + below) / pixels}
    for name in _colour_axes(layout):
        bar = layout[name].setdefault("colorbar", {})
        title = {**bar.get("title", {}), "side": "top"}
        bar |= {"orientation": "h", "x": 0.5, "y": -55 / pixels, "yanchor": "top", "len": 1.0}
        bar["title"] = title
    layout |= {"height": height, "margin": {"l": 60, "r": 15, "t": 40, "b": 70 + below}}
    return dict(layout)


def _panels(layout: dict[str, Any]) -> list[tuple[str, str]]:
    """The x- and y-axis of each panel, row by row."""
    found = []
    for y in (name for name in layout if name.startswith("yaxis")):
        x = str(layout[y].get("anchor", "x")).replace("x", "xaxis", 1)
        if x in layout and "domain" in layout[y] and "domain" in layout[x]:
            found.append((x, y))
    return sorted(found, key=lambda p: (-layout[p[1]]["domain"][1], layout[p[0]]["domain"][0]))


def _head(x: dict[str, Any], y: dict[str, Any]) -> tuple[float, float]:
    """Where a panel's heading stands: above its middle."""
    left, right = x["domain"]
    return round((left + right) / 2, 4), round(float(y["domain"][1]), 4)


def _colour_axes(layout: dict[str, Any]) -> list[str]:
    return [name for name in layout if name.startswith("coloraxis")]
