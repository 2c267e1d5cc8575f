"""The collapse: every configuration's result against one axis, coloured by another."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from hptoolkit.figures.axes_pair import Pair, pairs
from hptoolkit.figures.figure import BAND, Figure, axis, blank, brief
from hptoolkit.figures.noise import Noise
from hptoolkit.figures.variance import FEWEST, explained
from hptoolkit.figures.view import StudyView
from hptoolkit.notation import label, metric_label, symbol


def draw(view: StudyView, noise: Noise | None) -> Figure | str:
    """The figure, or why there is none."""
    found = pairs(view)
    if not found:
        return (
            "The collapse needs coordinates over two parameters that the runs vary, such as "
            "λ/(1−ρ)."
        )
    if len(view.points) < FEWEST:
        return f"The collapse needs {FEWEST} finished configurations, here are {len(view.points)}."
    pair, shares = found[0], shares_explained(view)
    panels = (pair.raw[0], pair.coordinates[0])
    titles = [f"{symbol(name)} alone explains {_percent(shares[name])}" for name in panels]
    figure = blank(2, 1, titles, shared_yaxes=True)
    for column, name in enumerate(panels, 1):
        _panel(figure, view, name, pair.raw[1], column)
    if noise is not None and view.best is not None:
        _band(figure, view.best.value * view.scale, noise.deviation * view.scale)
    figure.update_yaxes(title_text=metric_label(view.metric), range=_heights(view), col=1)
    figure.update_yaxes(range=_heights(view), col=2)
    figure.update_layout(coloraxis=_colours(view, pair), showlegend=False)
    return Figure("collapse", "One curve or many", _caption(view, pair, shares, noise), figure)


def shares_explained(view: StudyView) -> dict[str, float]:
    """The share of variance that each axis explains by itself: raw axes, then coordinates."""
    values = np.array([point.value for point in view.points])
    shares = {}
    raw = [str(factor) for factor in view.coordinates.factors]
    for name in dict.fromkeys((*raw, *view.coordinates.axes)):
        if view.varies(name):
            places = np.array([math.log(view.place(point, name)) for point in view.points])
            shares[name] = explained(places, values)
    return shares


def _panel(figure: Any, view: StudyView, name: str, partner: str, column: int) -> None:
    drawn = {run.number for run in view.to_draw()}
    points = [p for p in view.points if any(run.number in drawn for run in p.runs)]
    places = [view.place(point, name) for point in points]
    figure.add_scatter(
        x=[brief(v) for v in places],
        y=[brief(point.value * view.scale) for point in points],
        mode="markers",
        marker={
            "size": 9, "color": [brief(math.log2(view.place(p, partner))) for p in points],
            "coloraxis": "coloraxis", "line": {"width": 0.5, "color": "white"},
        },
        text=[str(brief(view.place(p, partner))) for p in points],
        hovertemplate=f"{symbol(name)} %{{x}}, {symbol(partner)} %{{text}}: %{{y}}<extra></extra>",
        row=1, col=column,
    )  # fmt: skip
    figure.update_xaxes(**axis(name, places), row=1, col=column)


def _band(figure: Any, best: float, deviation: float) -> None:
    for column in (1, 2):
        figure.add_hrect(
            y0=brief(best - deviation), y1=brief(best + deviation), fillcolor=BAND, line_width=0,
            layer="below", row=1, col=column,
        )  # fmt: skip


def _heights(view: StudyView) -> list[float] | None:
    """All values of an accuracy; of a loss the lower ones: one that explodes hides the rest."""
    values = [point.value * view.scale for point in view.points]
    if view.maximize:
        return None
    best, median = min(values), float(np.median(values))
    top = min(max(values), best + 4 * (median - best)) if median > best else max(values)
    margin = 0.05 * ((top - best) or 1.0)
    return [brief(best - margin), brief(top + margin)]


def _colours(view: StudyView, pair: Pair) -> dict[str, Any]:
    """The partner's colours, by its logarithm to base 2, with its values at the ticks."""
    logs = sorted({round(math.log2(view.place(p, pair.raw[1])), 3) for p in view.points})
    ticks = np.linspace(logs[0], logs[-1], min(len(logs), 6)).tolist()
    return {
        "colorscale": "Cividis",
        "colorbar": {
            "title": {"text": label(pair.raw[1]), "side": "right"}, "thickness": 14,
            "tickvals": [brief(t) for t in ticks], "ticktext": [f"{2**t:.2g}" for t in ticks],
        },
    }  # fmt: skip


def _percent(share: float) -> str:
    return "nothing that can be told" if math.isnan(share) else f"{100 * share:.0f} %"


def _caption(view: StudyView, pair: Pair, shares: dict[str, float], noise: Noise | None) -> str:
    listed = ", ".join(f"{symbol(name)} {_percent(share)}" for name, share in shares.items())
    text = (
        f"Each dot is a configuration; colour is {symbol(pair.raw[1])}. If "
        f"{symbol(pair.coordinates[0])} is the right coordinate, the dots fall on one curve over "
        "it (right), whatever their colour, while over the raw parameter (left) each colour has a "
        f"curve of its own. Share of the variance that one axis explains by itself: {listed} "
        f"(R² of a local linear regression, each of the {len(view.points)} configurations "
        "predicted from the others; pruned and diverged runs are left out)."
    )
    if noise is not None:
        text += f" The band is one run's standard deviation about the best ({noise.source})."
    return text
