"""A figure with its caption, and the style that all figures share."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from hptoolkit.reporting.formatting import label

if TYPE_CHECKING:
    import plotly.graph_objects as go

# M. Okabe, K. Ito, Color universal design, 2008: colours that the colour-blind can tell apart.
BLUE, VERMILION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
GREY, LIGHT, BLACK = "#8c8c8c", "#d0d0d0", "#222222"
# Perceptually even, and readable without colour vision; light is good.
SCALE = "Viridis"
BAND = "rgba(0,114,178,0.15)"


@dataclass(frozen=True)
class Figure:
    """A figure of a study.

    Attributes:
        id: Of letters, digits and hyphens, unique within a study.
        title: What it shows, in a few words.
        caption: What to look for, in sentences.
        figure: The plotly figure, without a title of its own.
    """

    id: str
    title: str
    caption: str
    figure: go.Figure


def blank(columns: int = 1, rows: int = 1, titles: Sequence[str] = (), **options: Any) -> go.Figure:
    """An empty figure of panels in the common style.

    The template is empty: plotly's own would add 7 kB to each figure, and the dashboard keeps all
    figures of a study in 100 kB.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    figure = make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=list(titles) or None,
        horizontal_spacing=0.12 if columns < 3 else 0.08,
        vertical_spacing=0.2 if rows < 3 else 0.12,
        **options,
    )
    figure.update_layout(
        template=go.layout.Template(),
        height=430 if rows == 1 else 390 * rows,
        margin={"l": 70, "r": 30, "t": 50, "b": 60},
        font={"family": "system-ui, sans-serif", "size": 13, "color": BLACK},
        paper_bgcolor="white",
        plot_bgcolor="white",
        hovermode="closest",
        legend={"orientation": "h", "y": -0.22 if rows == 1 else -0.1, "x": 0},
    )
    figure.update_annotations(font_size=14)
    lines = {"showline": True, "linecolor": GREY, "gridcolor": "#ebebeb", "zeroline": False}
    figure.update_xaxes(ticks="outside", tickcolor=GREY, **lines)
    figure.update_yaxes(ticks="outside", tickcolor=GREY, **lines)
    return figure


def plain(text: str) -> str:
    """A text of a user's for plotly, which would read `<b>` in it as markup."""
    return escape(text, quote=False)


def axis(expression: str, values: Iterable[float]) -> dict[str, Any]:
    """Options of the axis of a parameter or coordinate: its label, logarithmic where it can be."""
    found = [v for v in values if math.isfinite(v)]
    if not found or min(found) <= 0:
        return {"title_text": plain(label(expression))}
    decades = math.log10(max(found) / min(found))
    options = {"title_text": plain(label(expression)), "type": "log", "tickangle": 0}
    # Few labels: the dashboard draws a figure at half the report's width.
    if decades < 3.6:
        return options | {"dtick": "D2" if decades < 2 else 1, "tickformat": "~g"}
    return options | {"dtick": 2 if decades < 9 else 4, "exponentformat": "power"}


def name_of(*parts: str) -> str:
    """A figure's id: letters, digits and hyphens."""
    return re.sub(r"[^A-Za-z0-9]+", "-", "-".join(parts)).strip("-")


def brief(value: float) -> float:
    """A number to four significant digits, so that a figure's JSON stays short."""
    return float(f"{value:.4g}")


def colour_range(values: Sequence[float], *, maximize: bool) -> tuple[float, float]:
    """The least and largest value that colours tell apart, so that the best ones differ.

    From the best to one and a half times as far as the median lies; what is worse has the darkest
    colour. Without this floor one diverged run would make all others look alike.
    """
    ordered = sorted(values, reverse=maximize)
    best, median, worst = ordered[0], ordered[len(ordered) // 2], ordered[-1]
    floor = best + 1.5 * (median - best)
    floor = max(floor, worst) if maximize else min(floor, worst)
    return (floor, best) if maximize else (best, floor)


def frame(values: Sequence[float], *, maximize: bool) -> tuple[float, float] | None:
    """The lowest and highest value of an axis on which the good results can be told apart.

    From the best to three times as far as the median lies: over all of them, 0 to 100 %, what
    matters would fill a hair's breadth. None without two different values.

    Args:
        values: Of what is drawn, in the units that are shown.
        maximize: Whether the largest is the best.
    """
    ordered = sorted(values, reverse=maximize)
    if not ordered or ordered[0] == ordered[-1]:
        return None
    best, median, worst = ordered[0], ordered[len(ordered) // 2], ordered[-1]
    end = best + 3.0 * (median - best) if median != best else worst
    end = max(end, worst) if maximize else min(end, worst)
    margin = 0.06 * abs(end - best)
    low, high = sorted((best, end))
    return brief(low - margin), brief(high + margin)


def outside(values: Iterable[float], shown: tuple[float, float] | None) -> str:
    """A sentence on the values that a frame leaves out; empty if it leaves out none."""
    if shown is None:
        return ""
    count = sum(not shown[0] <= value <= shown[1] for value in values)
    if not count:
        return ""
    verbs = ("is", "lies") if count == 1 else ("are", "lie")
    return f" {count} that {verbs[0]} worse {verbs[1]} outside the frame."


def colours(values: Sequence[float], title: str, *, maximize: bool) -> dict[str, Any]:
    """The colour axis of values, light for good."""
    low, high = colour_range(values, maximize=maximize)
    return {
        "colorscale": SCALE,
        "reversescale": not maximize,
        "cmin": brief(low),
        "cmax": brief(high),
        "colorbar": {"title": {"text": title, "side": "right"}, "thickness": 14},
    }
